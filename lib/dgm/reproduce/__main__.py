"""`python -m dgm.reproduce NAME... [--budget MINUTES]`, or `torchrun -m ... NAME --distributed`."""

import argparse
import sys

import torch

from .._device import device
from ..train import rank, world_size
from . import EXPERIMENTS, RECIPES, add_seeds, reproduce


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m dgm.reproduce", description="Run experiments and write their records."
    )
    names = {"nargs": "+", "metavar": "NAME", "choices": [*EXPERIMENTS]}
    parser.add_argument("names", **names, help=f"what to run: {', '.join(EXPERIMENTS)}")
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="of training, per name")
    more = "add the figures of other seeds to a record, so that there are so many in all"
    parser.add_argument("--seeds", type=int, metavar="N", help=more)
    together = {"action": "store_true", "help": "share one run among the processes of torchrun"}
    parser.add_argument("--distributed", **together)
    options = parser.parse_args(arguments)
    if world_size() > 1 and not options.distributed:
        parser.error("several processes would each do the whole: add --distributed")
    if options.distributed and len(options.names) > 1:
        parser.error(f"--distributed: expected one of {', '.join(RECIPES)}")
    # Gradients of draws with next to no weight are denormal numbers, with which processors
    # compute a hundred times slower; flushed to zero, IWAE with k = 50 trains twice as fast.
    torch.set_flush_denormal(True)
    for name in options.names:
        print(f"{name}, on {device()}", file=sys.stderr)
        try:
            if options.seeds is None:
                record = reproduce(name, options.budget, options.distributed)
            else:
                record = add_seeds(name, options.budget, options.seeds)
        except (ValueError, RuntimeError) as error:
            parser.exit(2, f"{parser.prog}: {error}\n")
        if rank() > 0:
            return 0  # it has done its share
        if record is None:
            parser.exit(1, "stopped; the same command goes on from the last finished round\n")
        print(EXPERIMENTS[name].summary(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
