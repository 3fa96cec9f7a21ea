"""Few labels: classifiers that learn from little, compared on equal terms.

Who makes the most of 100 labels, of 1,000, of 80 % of all there are? The other training images are
there too, without labels. `compare` answers for any setting: data, networks, length of training.

**What is equal.** All networks have the same hidden layers, code size and number of updates, and
see the same number of images in each; encoders and classifiers are of one architecture. M1+M2 has
the updates of its VAE on top of its own. Draw i of the labels (as many of each class) is the same
for all methods, and so is the seed of what they train. The unlabelled VAEs are trained anew for
each draw.

**What is chosen, and how.** One hyper-parameter of each method (C of a logistic regression, weight
decay, a multiplier) is chosen from three values once for each number of labels, with a set of
labels that is none of the draws: four fifths of it are learned from, the last fifth decides. That
is 20 images where there are 100 labels; more would be labels that nobody has. A comparison of three
values trains for a third of the updates each.

**What is reported.** The test error in percent of each draw, trained from all its labels with the
chosen value. Test labels are used for nothing else.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .. import data, heads
from ..architectures import Convolution, Perceptron
from ..data import Dataset, Split
from ..labels import MixedBatches, few, known
from ..models import M1, M2, PCVAE, VAE
from ..models.semi_supervised import classifier_of, logistic_regression
from ..nets import Features
from ..objectives import elbo, m2, prediction_constrained
from ..train import own_random_state
from .parts import falling_rate, scheduled_step
from .records import write
from .runs import train_rounds


@dataclass(frozen=True)
class Setting:
    """What all methods have in common.

    Attributes:
        dataset: a name for `dgm.data.load`.
        networks: "mlp" or "conv", the constructor of the models.
        size: its `hidden` or `width`.
        latent: size of a code.
        likelihood: a head for p(x | z).
        binarize: as in `Split.batches`; a Bernoulli likelihood needs "dynamic".
        batch_size: images per update, of all training images.
        labelled: labelled images per update, on top of these.
        rate: learning rate at the start; it falls to zero in a straight line.
        methods: rows of the table.
    """

    dataset: str
    networks: str
    size: dict
    latent: int
    likelihood: Callable[..., nn.Module]
    binarize: str | None
    batch_size: int
    labelled: int
    rate: float
    methods: tuple["Method", ...]

    def build(self, model: type, shape: Sequence[int], **classes: int) -> nn.Module:
        """A VAE, an M2 or a PCVAE in this setting."""
        make, more = getattr(model, self.networks), self.size | classes
        return make(shape, latent=self.latent, likelihood=self.likelihood, **more)

    def features(self, shape: Sequence[int]) -> Features:
        """The encoder's hidden layers."""
        architecture = {"mlp": Perceptron, "conv": Convolution}[self.networks]
        return architecture(**self.size).encoder(shape)


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        name: what the table calls it.
        learn: learn(draw, split, choice, updates) -> a function from images to labels.
        chosen: name of the hyper-parameter.
        choices: its values.
    """

    name: str
    learn: Callable[["Draw", Split, float, int], Callable[[Tensor], Tensor]]
    chosen: str
    choices: tuple[float, ...]


@dataclass(eq=False)
class Draw:
    """One draw of labels, and the VAEs that are trained beside it, without any."""

    setting: Setting
    data: Dataset
    seed: int
    updates: int
    folder: Path | None = None
    vaes: dict[float, VAE] = field(default_factory=dict)

    def split(self, n: int) -> Split:
        """The training images with n labels."""
        return few(self.data.train, n, self.seed)

    def vae(self, beta: float = 1.0) -> VAE:
        """Trained without labels, at the first call or by a run that was stopped later."""
        if beta not in self.vaes:
            batch_size = self.setting.batch_size + self.setting.labelled
            batches = self.data.train.batches(batch_size, binarize=self.setting.binarize)
            file = self.folder and self.folder / f"vae-{beta:g}-{self.seed}.pt"
            objective = partial(elbo, beta=beta)
            with own_random_state(self.seed):  # what follows is the same, trained now or read
                model = self.setting.build(VAE, self.data.shape)
                train(model, objective, batches, self.updates, self.setting.rate, checkpoint=file)
            self.vaes[beta] = model
        return self.vaes[beta]

    def mixed(self, split: Split) -> MixedBatches:
        """Batches of all training images, with labelled ones added to each."""
        s = self.setting
        return MixedBatches(split, s.batch_size, s.labelled, s.binarize)


# ---------------------------------------------------------------- the methods


def pixels(draw: Draw, split: Split, c: float, updates: int) -> Callable:
    """Logistic regression on the images themselves."""
    own = known(split)
    fitted = logistic_regression(c).fit(own.images.flatten(1).cpu().numpy(), own.y.cpu().numpy())
    return lambda x: torch.as_tensor(fitted.predict(x.flatten(1).cpu().numpy())).to(x.device)


def network(draw: Draw, split: Split, decay: float, updates: int) -> Callable:
    """The encoder's architecture as a classifier, trained on the labelled images alone."""
    model = classifier_of(draw.setting.features(draw.data.shape), len(draw.data.classes))
    own = known(split)
    size = min(len(own), draw.setting.batch_size + draw.setting.labelled)
    batches = own.batches(size, binarize=draw.setting.binarize, drop_last=True)
    train(model, log_prob_of_label, batches, updates, draw.setting.rate, decay=decay)
    return most_probable(model)


def log_prob_of_label(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return model(x).log_prob(y)  # (B,)


def codes(draw: Draw, split: Split, c: float, updates: int, draws: int = 0) -> Callable:
    """M1: logistic regression on codes of a VAE, posterior means or draws."""
    own = known(split)
    return M1(draw.vae(), logistic_regression(c), draws).fit(own.images, own.y).predict


def beta_codes(draw: Draw, split: Split, beta: float, updates: int) -> Callable:
    """The same on codes of a VAE whose KL term has the weight beta; C is scikit-learn's default."""
    own = known(split)
    return M1(draw.vae(beta)).fit(own.images, own.y).predict


def constrained(draw: Draw, split: Split, multiplier: float, updates: int) -> Callable:
    """A prediction-constrained VAE."""
    batches, classes = draw.mixed(split), len(draw.data.classes)
    model = draw.setting.build(PCVAE, draw.data.shape, classes=classes)
    objective = partial(prediction_constrained, multiplier=multiplier, labelled_share=batches.share)
    train(model, objective, batches, updates, draw.setting.rate)
    return most_probable(model.classify)


def class_and_style(draw: Draw, split: Split, alpha: float, updates: int) -> Callable:
    """M2."""
    batches, classes = draw.mixed(split), len(draw.data.classes)
    model = draw.setting.build(M2, draw.data.shape, classes=classes)
    objective = partial(m2, alpha=alpha, labelled_share=batches.share)
    train(model, objective, batches, updates, draw.setting.rate)
    return most_probable(model.classify)


def stacked(draw: Draw, split: Split, alpha: float, updates: int) -> Callable:
    """M1+M2: an M2 of a VAE's codes, fresh draws of them at each update."""
    vae, latent, batches = draw.vae(), draw.setting.latent, draw.mixed(split)
    sizes = {"hidden": draw.setting.size.get("hidden", (256,)), "latent": latent}
    model = M2.mlp((latent,), classes=len(draw.data.classes), likelihood=heads.Normal, **sizes)
    objective = partial(m2, alpha=alpha, labelled_share=batches.share)
    train(model, objective, Codes(vae, batches), updates, draw.setting.rate)
    return most_probable(lambda x: model.classify(vae.posterior(x).mean))


C = (0.1, 1.0, 10.0)
METHODS = (
    Method("Logistic regression, pixels", pixels, "C", C),
    Method("Supervised network", network, "weight decay", (0.01, 0.1, 1.0)),
    Method("Logistic regression, VAE codes", codes, "C", C),
    Method("Logistic regression, β-VAE codes", beta_codes, "β", (0.25, 2.0, 4.0)),
    Method("M1, posterior samples", partial(codes, draws=10), "C", C),
    Method("PC-VAE", constrained, "multiplier", (10.0, 100.0, 1000.0)),
    Method("M2", class_and_style, "alpha", (0.1, 10.0, 100.0)),
    Method("M1+M2", stacked, "alpha", (0.1, 10.0, 100.0)),
)


# ---------------------------------------------------------------- what they share


def train(model, objective, batches, updates, rate, decay=0.0, checkpoint=None) -> None:
    """So many updates, with a learning rate that falls from `rate` to zero."""
    optimizer = partial(torch.optim.AdamW, weight_decay=decay, fused=True)
    schedule = partial(falling_rate, steps=updates, highest=rate)
    step = scheduled_step(model, objective, schedule, optimizer)
    train_rounds(step, batches, updates, checkpoint=checkpoint, progress=False)
    model.requires_grad_(False)


@dataclass(frozen=True)
class Codes:
    """The batches with fresh draws of q(z | x) in the place of x."""

    vae: VAE
    batches: MixedBatches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for x, y in self.batches:
            yield self.vae.posterior(x).sample(), y


def most_probable(classify: Callable) -> Callable:
    """From images to the most probable labels, for a network that returns their distribution."""
    return lambda x: torch.cat([classify(part).logits.argmax(-1) for part in x.split(500)])


def error(predict: Callable, split: Split) -> float:
    """Percentage of wrong predictions."""
    return 100 * int((predict(split.images) != split.y).sum()) / len(split)


# ---------------------------------------------------------------- the experiment


def compare(
    setting: Setting,
    numbers: Sequence[int] = (100,),
    draws: int = 5,
    updates: int = 200,
    folder: Path | None = None,
    progress: bool = True,
) -> list[dict]:
    """Train and test every method, with every number of labels, on every draw of them.

    Args:
        setting: data and networks.
        numbers: of labels, multiples of five times the number of classes.
        draws: of the labels; one more is for the choice of hyper-parameters.
        updates: of each network.
        folder: where finished parts are kept; called again, the comparison goes on from there.
        progress: show a progress bar (on stderr).

    Returns:
        For each number and method a row: `method`, `labels`, `errors` (in percent, one per draw)
        and `chosen`, the hyper-parameter.

    Raises:
        ValueError: a number of labels is not as above, or there are not as many.
        KeyboardInterrupt: at Ctrl-C; what is finished is kept.

    >>> import dataclasses
    >>> setting = dataclasses.replace(SETTINGS["few-labels-digits"], methods=METHODS[:1])
    >>> (row,) = compare(setting, draws=2, progress=False)
    >>> row["method"], row["labels"], len(row["errors"])
    ('Logistic regression, pixels', 100, 2)
    """
    dataset = data.load(setting.dataset)
    if any(n % (5 * len(dataset.classes)) for n in numbers):
        raise ValueError(
            f"numbers: got {numbers}, expected multiples of {5 * len(dataset.classes)}"
        )
    parts = list(product(numbers, setting.methods))
    file = folder and folder / "results.json"
    done = json.loads(file.read_text(encoding="utf-8")) if file and file.exists() else {}
    with tqdm(total=(draws + 1) * len(parts), unit="part", disable=not progress) as bar:
        for seed in (draws, *range(draws)):  # the first of these is to choose with
            draw = Draw(setting, dataset, seed, updates, folder)
            for n, method in parts:
                bar.set_postfix_str(f"{method.name}, {n} labels")
                if part(n, method, seed) not in done:
                    torch.manual_seed(seed)
                    if seed == draws:
                        result = choose(method, draw, n)
                    else:
                        result = measure(method, draw, n, done[part(n, method, draws)])
                    done[part(n, method, seed)] = result
                    if file:
                        write(file, done)
                bar.update()
    return [
        {
            "method": method.name,
            "labels": n,
            "errors": [done[part(n, method, seed)] for seed in range(draws)],
            "chosen": {method.chosen: done[part(n, method, draws)]},
        }
        for n, method in parts
    ]


def part(n: int, method: Method, seed: int) -> str:
    """The name under which a result is kept."""
    return f"{method.name}, {n} labels, draw {seed}"


def choose(method: Method, draw: Draw, n: int) -> float:
    """The value that is best on a fifth of the labels, learned from the others."""
    split = draw.split(n)
    shown = few(split, n * 4 // 5)
    rest = torch.where(shown.y < 0, split.y, -1)
    hidden = known(Split(split.x, rest, split.levels, split.rows))
    updates = max(1, draw.updates // 3)
    errors = [error(method.learn(draw, shown, value, updates), hidden) for value in method.choices]
    return method.choices[errors.index(min(errors))]


def measure(method: Method, draw: Draw, n: int, choice: float) -> float:
    """The test error, in percent, with all n labels."""
    predict = method.learn(draw, draw.split(n), choice, draw.updates)
    return error(predict, draw.data.test)


# ---------------------------------------------------------------- the settings

MLP = {"networks": "mlp", "binarize": "dynamic", "likelihood": heads.Bernoulli, "methods": METHODS}
CONV = {"networks": "conv", "methods": METHODS}
SETTINGS = {
    "few-labels-digits": Setting(
        "digits", size={"hidden": (128,)}, latent=10, batch_size=32, labelled=8, rate=5e-3, **MLP
    ),
    "few-labels-mnist-mlp": Setting(
        "mnist", size={"hidden": (256,)}, latent=32, batch_size=64, labelled=16, rate=3e-3, **MLP
    ),
    # With a learning rate of 0.003 two of five VAEs collapsed: codes of one nat that name no digit.
    "few-labels-mnist-conv": Setting(
        "mnist",
        size={"width": 8},
        latent=32,
        likelihood=heads.Bernoulli,
        binarize="dynamic",
        batch_size=32,
        labelled=8,
        rate=1e-3,
        **CONV,
    ),
    # Colours are real numbers under a Normal, as a Categorical would need 256 outputs for each. Its
    # sigma is fixed: a learned one starts at 1 and takes long to fall so far that codes are worth
    # their nats.
    "few-labels-cifar10-conv": Setting(
        "cifar10",
        size={"width": 8},
        latent=64,
        likelihood=partial(heads.Normal, sigma=0.1),
        binarize=None,
        batch_size=32,
        labelled=8,
        rate=3e-3,
        **CONV,
    ),
}
