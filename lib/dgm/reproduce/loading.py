"""Records as chapters read them: curves and their spread, models, where it all comes from."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from ..train import own_random_state
from .experiments import EXPERIMENTS
from .records import COMMITTED, read_models, unpacked


def load(name: str, folder: Path = COMMITTED) -> "Record":
    """The record of a run, "ring-game" or, with a budget, "gan-5min".

    Raises:
        ValueError: there is none.
    """
    places = {folder / experiment.folder for experiment in EXPERIMENTS.values()}
    files = {file.stem: file for place in places for file in place.glob("*.json")}
    if name not in files:
        raise ValueError(f"name: got {name!r}, expected one of {', '.join(sorted(files))}")
    return Record(files[name], folder / "models" / f"{name}.pt")


class Record:
    """What an experiment left; `record["seconds"]` and so on is what its file says.

    Args:
        file: the record.
        weights: the file of the models that were kept; it need not exist.

    >>> record = load("ring-game")
    >>> record.settings[:2], record.metrics[-1]
    (['β₁ = 0.9', 'β₁ = 0.5'], 'average good')
    >>> mean, deviation = record.spread("β₁ = 0", "generator good")
    >>> mean.shape == deviation.shape == record.updates.shape
    True
    >>> record.model("β₁ = 0", seed=3).sample(7).shape
    torch.Size([7, 2])
    """

    def __init__(self, file: Path, weights: Path):
        self.content, self.weights = json.loads(file.read_text(encoding="utf-8")), weights

    def __getitem__(self, key: str):
        if key not in self.content:
            raise KeyError(f"no {key!r} in this record; there are {', '.join(self.content)}")
        return self.content[key]

    @property
    def settings(self) -> list[str]:
        """The names of the settings, of a study."""
        return [*self["settings"]]

    @property
    def metrics(self) -> list[str]:
        """What there are curves of."""
        return [*self["settings"][self.settings[0]]["curves"]]

    @property
    def updates(self) -> Tensor:
        """Where the curves have their points, (T,)."""
        return torch.tensor(self["updates"])

    def curves(self, setting: str, metric: str) -> Tensor:
        """(seeds, T): one curve per seed."""
        for name, got, known in (
            ("setting", setting, self.settings),
            ("metric", metric, self.metrics),
        ):
            if got not in known:
                raise ValueError(f"{name}: got {got!r}, expected one of {known}")
        return torch.tensor(self["settings"][setting]["curves"][metric])

    def spread(self, setting: str, metric: str) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (dividing by n - 1) over the seeds, (T,) each."""
        curves = self.curves(setting, metric)
        return curves.mean(0), curves.std(0)

    def model(self, setting: str | None = None, seed: int = 0) -> nn.Module:
        """A trained model, its weights rounded to float16, on `dgm.device()`.

        It needs no data, and leaves torch's random state alone.

        Args:
            setting, seed: which one, of a study.

        Raises:
            ValueError: none was kept of these.
        """
        states = read_models(self.weights) if self.weights.exists() else {}
        key = "model" if setting is None else f"{setting}, seed {seed}"
        if key not in states:
            kept = ", ".join(states) or "none: it takes too much space"
            raise ValueError(f"setting, seed: got {setting!r}, {seed}, but what was kept is {kept}")
        with own_random_state(0):
            model = EXPERIMENTS[self["name"]].untrained(tuple(self["shape"]), setting)
        model.load_state_dict(states[key])
        return model.requires_grad_(False).eval()

    @property
    def examples(self) -> Tensor:
        """The test images that were kept, (N, *shape)."""
        return unpacked(self["examples"], self["shape"])

    @property
    def provenance(self) -> str:
        """What was trained for how long, where, when and with what: a line for a caption."""
        place, versions = self["device"], self["versions"].items()
        if place == "cpu":
            threads = self["threads"]
            place = f"CPU ({threads} thread{'s' * (threads > 1)}{self._machine()})"
        return (
            f"{self._training()} in {self['seconds'] / 60:,.1f} minutes on {place}, "
            f"{', '.join(f'{name} {version}' for name, version in versions)}, {self['date']}, "
            f"commit {(self['commit'] or 'unknown')[:12]}: {self.command}"
        )

    @property
    def command(self) -> str:
        """What makes this record again."""
        budget = self["budget_minutes"]
        return f"make reproduce NAMES={self['name']}" + (f" BUDGET={budget:g}" if budget else "")

    def _machine(self) -> str:
        if "load" not in self.content:
            return ""
        return f" of {self['processors']} processors, load {self['load']:.1f}"

    def _training(self) -> str:
        if "settings" in self.content:
            seeds = len(self["settings"][self.settings[0]]["seeds"])
            updates = self["updates"][-1]
            return f"{len(self.settings)} settings, {seeds} seeds, {updates:,} updates each"
        if "rows" in self.content:
            return f"{self['draws']} draws of labels, {self['updates']:,} updates each"
        epochs = self["epochs"]
        return f"{self['model']}: {epochs:,.3g} epoch{'s' * (epochs != 1)}"
