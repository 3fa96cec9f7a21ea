"""Checkpoints: the whole state of a run in one file."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .._device import device


def random_state() -> dict[str, Tensor]:
    """The state of torch's global random generators, one per kind of device in use."""
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


def save_checkpoint(path: str | os.PathLike, step, history, best: dict | None = None) -> None:
    """Write the state of a run, a `Step` and its `History`, to one file, whole or not at all.

    `best` is the step's state at the best epoch so far, where there is early stopping.

    The state goes to a temporary file in the same folder, which then takes the place of the old one
    in one operation of the file system.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {"step": step.state_dict(), "history": history.metrics, "best": best}
        torch.save(_plain(state), temporary)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _plain(state):
    """The state with NumPy's numbers as Python's: `weights_only` loads no others."""
    if isinstance(state, np.generic):
        return state.item()
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(map(_plain, state))
    return state


def load_checkpoint(path: str | os.PathLike, step, history=None) -> dict | None:
    """Restore a run that `save_checkpoint` wrote. Only tensors and plain values are read.

    Returns:
        The step's state at its best epoch, if it was saved.

    Raises:
        ValueError: the file is not a checkpoint, or one of another model.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        step_state, metrics = state["step"], state["history"]
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"checkpoint: {path} is not a checkpoint of dgm.train.fit") from error
    try:
        step.load_state_dict(step_state)
    except (RuntimeError, KeyError, ValueError) as error:
        raise ValueError(f"checkpoint: {path} belongs to another model or step: {error}") from error
    if history is not None:
        history.metrics = {name: list(values) for name, values in metrics.items()}
    return state.get("best")
