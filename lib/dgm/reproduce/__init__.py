"""Recorded experiments: `python -m dgm.reproduce NAME... [--budget MINUTES]`.

An experiment is named and seeded, and can be stopped and gone on with. Its outcome is a JSON record
in book/records/, written by this program only; `load` reads it. There are four kinds:

- A `Recipe` is a line of the scoreboard: it trains a model as a publication did and measures it on
  the same test set in the same way. The published schedule takes hours to days (minutes for the
  digits, of which nobody has published figures). A budget cuts training to about that many minutes:
  the same model and objective, batches of the size that is fastest there, and a learning rate that
  falls to zero in the time there is. On a CPU likelihoods that must be estimated are then measured
  on the first 1,000 test images. A schedule of minutes is run from three seeds, and `--seeds 3`
  adds those of two more to a record of a budget, trained for as many updates.
- A `Study` belongs to a chapter, which shows its curves: several settings, several seeds each.
- A `Comparison` trains classifiers on few labels; its records, in few-labels/, are whole tables.
- `families.Families` is the course's final comparison: all families on one data set, each with as
  many updates, by all measures.

A run can be stopped at any time. The same command goes on from the last finished round, in runs/,
and ends where it would have ended (on a CPU bit for bit); after the last round it only measures.
Weights that take at most half a megabyte as float16 are kept beside the record and measured as they
are kept, so that a test can measure them again and a chapter draw from them; of a larger model the
record's command makes another.
"""

from .comparison import Comparison
from .experiments import EXPERIMENTS, add_seeds, reproduce
from .loading import Record, load
from .recipe import Recipe, Schedule
from .recipes import RECIPES
from .study import Study

__all__ = [
    "EXPERIMENTS",
    "RECIPES",
    "Comparison",
    "Recipe",
    "Record",
    "Schedule",
    "Study",
    "add_seeds",
    "load",
    "reproduce",
]
