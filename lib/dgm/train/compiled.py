"""Compiled functions that fall back on what they were compiled from."""

import inspect
import sys
from collections.abc import Callable

import torch
from tqdm import tqdm

# Without it all steps' programs count as versions of one function, of which torch keeps 8; a torch
# before 2.14 has no such option.
ISOLATED = "isolate_recompiles" in inspect.signature(torch.compile).parameters


class Compiled:
    """A function of tensors through `torch.compile`, whole or not at all.

    What a step computes is dozens of small operations; compiled, neighbours become one, in forward
    pass and gradient alike, and on a GPU the whole is recorded as a graph and launched at once.

    Every new shape is compiled anew, since fixed shapes make the faster program: of an epoch's
    batches, that is the full ones and the last. Compiled code draws other random numbers than eager
    code unless `torch._inductor.config.fallback_random` is set.

    A function that cannot be compiled, or a machine without a compiler, costs one line on stderr:
    then the function itself does the work.

    Args:
        function: returns a tensor.
        device: where it computes; None, the CPU.
        options: of `torch.compile`; by default CUDA graphs on a GPU.

    Attributes:
        works: False as soon as the function itself does the work.

    >>> square = Compiled(lambda x: x.square(), backend="eager")
    >>> square(torch.tensor(3.0))
    tensor(9.)
    """

    def __init__(self, function: Callable, device: torch.device | None = None, **options):
        if not options and device is not None and device.type == "cuda":
            options = {"mode": "reduce-overhead"}
        self.eager, self.works = function, True
        if ISOLATED:
            options["isolate_recompiles"] = True
        self.run = torch.compile(function, fullgraph=True, dynamic=False, **options)

    def __call__(self, *tensors, **more):
        if not self.works:
            return self.eager(*tensors, **more)
        torch.compiler.cudagraph_mark_step_begin()
        try:
            return self.run(*tensors, **more)
        except Exception as error:  # of many kinds; if it is the function's own, it comes again
            self.works = False
            not_compiled((str(error).strip() or type(error).__name__).splitlines()[0])
            return self.eager(*tensors, **more)


def worth_compiling(device: torch.device, options: dict) -> bool:
    """Whether to compile for the device: on a CPU only with options of one's own.

    There it gains little or nothing (the book's page on speed has the figures). If it is not worth
    it, one line says so.
    """
    if options or device.type != "cpu":
        return True
    not_compiled("on a CPU it gains little or nothing")
    return False


def not_compiled(reason: str) -> None:
    """Say in one line that training goes on at its usual speed."""
    tqdm.write(f"compile: goes on without, because: {reason}", file=sys.stderr)
