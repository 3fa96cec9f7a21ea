"""`python -m dgm.reproduce NAME... [--budget MINUTES]`."""

import argparse
import sys

import torch

from .._device import device
from . import RECIPES, few_labels_runs, runs
from .few_labels import SETTINGS


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m dgm.reproduce", description="Train and measure the scoreboard's recipes."
    )
    known = [*RECIPES, *SETTINGS]
    names = {"nargs": "+", "metavar": "NAME", "choices": known}
    parser.add_argument("names", **names, help=f"what to run: {', '.join(known)}")
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="of training, per name")
    options = parser.parse_args(arguments)
    # Gradients of draws with next to no weight are denormal numbers, with which processors
    # compute a hundred times slower; flushed to zero, IWAE with k = 50 trains twice as fast.
    torch.set_flush_denormal(True)
    for name in options.names:
        print(f"{name}, on {device()}", file=sys.stderr)
        experiment = few_labels_runs if name in SETTINGS else runs
        try:
            record = experiment.reproduce(name, options.budget)
        except (ValueError, RuntimeError) as error:
            parser.exit(2, f"{parser.prog}: {error}\n")
        if record is None:
            parser.exit(1, "stopped; the same command goes on from the last finished epoch\n")
        print(experiment.summary(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
