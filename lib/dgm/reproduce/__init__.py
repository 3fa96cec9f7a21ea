"""The runs behind the scoreboard: `python -m dgm.reproduce NAME... [--budget MINUTES]`.

A recipe trains a model as a publication did and measures it on the same test set in the same way.
The outcome is a JSON record in book/records/, which the scoreboard page shows beside the published
figure. Records are written by this program only.

Without a budget the published schedule is followed, which takes hours to days (minutes for the
digits, of which nobody has published figures). With one, training is cut to about that many
minutes: the same model and objective, batches of the size that is fastest there, and a learning
rate that falls to zero in the time there is. On a CPU likelihoods are then measured on the first
1,000 test images. What was measured where is part of the record.

A run can be stopped at any time. The same command goes on from the last finished epoch, in runs/,
and ends where it would have ended (on a CPU bit for bit); after the last epoch it only measures. A
model that takes at most a megabyte is kept beside its record, and a test measures it again.

`few_labels` is another kind of run, with names of its own: a comparison of classifiers that learn
from few labels. Its records, in book/records/few-labels/, are whole tables.
"""

from .classifier import train_classifier
from .recipes import RECIPES, Recipe, Schedule
from .runs import reproduce

__all__ = ["RECIPES", "Recipe", "Schedule", "reproduce", "train_classifier"]
