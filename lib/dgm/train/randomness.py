"""The state of torch's random generators: taken, restored, and lent to a run of its own."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from .._device import device


def random_state() -> dict[str, Tensor]:
    """The state of torch's global random generators: of the CPU and of `dgm.device()`."""
    state = {"cpu": torch.get_rng_state()}
    if device().type != "cpu":
        state[device().type] = torch.get_device_module(device()).get_rng_state()
    return state


def set_random_state(state: dict[str, Tensor]) -> None:
    """Restore what `random_state` returned. A device that is not here keeps its own state."""
    torch.set_rng_state(state["cpu"])
    if device().type in state and device().type != "cpu":
        torch.get_device_module(device()).set_rng_state(state[device().type])


@contextlib.contextmanager
def own_random_state(seed: int | None) -> Iterator[None]:
    """Draw from a state that starts at `seed`, and put the old one back at the end.

    With None, all goes on with the state there is.

    >>> before = torch.get_rng_state()
    >>> with own_random_state(1):
    ...     draw = torch.rand(())
    >>> torch.get_rng_state().equal(before)
    True
    """
    before = random_state()
    if seed is not None:
        torch.manual_seed(seed)
    try:
        yield
    finally:
        if seed is not None:
            set_random_state(before)
