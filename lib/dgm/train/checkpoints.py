"""Checkpoints: the whole state of a run in one file."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .randomness import random_state, set_random_state


def states(parts: Mapping[str, Any]) -> dict[str, dict]:
    """The state of each part, by name."""
    return {name: part.state_dict() for name, part in parts.items()}


def load_states(parts: Mapping[str, Any], saved: Mapping[str, dict]) -> None:
    """Restore what `states` returned of parts like these."""
    for name, part in parts.items():
        part.load_state_dict(saved[name])


def run_state(step, history, best: dict | None = None) -> dict:
    """All of a run: its step, its history, the best epoch so far, the random state."""
    state = {"step": step.state_dict(), "history": history.metrics, "best": best}
    return _plain(state | {"random": random_state()})


def load_run_state(state: dict, step, history=None) -> dict | None:
    """Go to where a run was that `run_state` described; returns its best epoch."""
    step.load_state_dict(state["step"])
    set_random_state(state["random"])
    if history is not None:
        history.metrics = {name: list(values) for name, values in state["history"].items()}
    return state["best"]


def save_checkpoint(path: str | os.PathLike, step, history, best: dict | None = None) -> None:
    """Write the state of a run, a `Step` and its `History`, to one file, whole or not at all.

    `best` is the best epoch so far, where there is early stopping. The random state is saved here,
    once for all steps.

    The state goes to a temporary file in the same folder, which then takes the place of the old one
    in one operation of the file system.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(run_state(step, history, best), temporary)
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
        The best epoch so far, if it was saved.

    Raises:
        ValueError: the file is not a checkpoint, or one of another model.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = {name: state[name] for name in ("step", "history", "best", "random")}
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"checkpoint: {path} is not a checkpoint of dgm.train.fit") from error
    try:
        return load_run_state(state, step, history)
    except (RuntimeError, KeyError, ValueError) as error:
        raise ValueError(f"checkpoint: {path} belongs to another model or step: {error}") from error
