"""Checkpoints: the whole state of a run in one file."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .._device import device

if TYPE_CHECKING:
    from .loop import History
    from .steps import Step


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


def save_checkpoint(path: str | os.PathLike, step: Step, history: History) -> None:
    """Write the state of a run to one file, whole or not at all.

    The state goes to a temporary file in the same folder, which then takes the place of the old one
    in one operation of the file system.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"step": step.state_dict(), "history": history.metrics}, temporary)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def load_checkpoint(path: str | os.PathLike, step: Step, history: History | None = None) -> None:
    """Restore a run that `save_checkpoint` wrote. Only tensors and plain values are read.

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
