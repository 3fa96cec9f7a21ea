"""Checkpoints: the whole state of a run in one file."""

import copy
import io
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .._files import beside, whole
from .randomness import random_state, set_random_state


def states(parts: Mapping[str, Any]) -> dict[str, dict]:
    """The state of each part, by name."""
    return {name: part.state_dict() for name, part in parts.items()}


def load_states(parts: Mapping[str, Any], saved: Mapping[str, dict]) -> None:
    """Restore what `states` returned of parts like these.

    Raises:
        ValueError: it was of others.
    """
    if set(saved) != set(parts):
        raise ValueError(f"got {', '.join(saved) or 'nothing'}, expected {', '.join(parts)}")
    for name, part in parts.items():
        part.load_state_dict(saved[name])


def run_state(step, history=None, best: dict | None = None) -> dict:
    """All of a run: its step, its history, the best epoch so far, the random state."""
    metrics = {} if history is None else history.metrics
    state = {"step": step.state_dict(), "history": metrics, "best": best}
    return _plain(state | {"random": random_state()})


def load_run_state(state: dict, step, history=None) -> dict | None:
    """Go to where a run was that `run_state` described; returns its best epoch."""
    best = state["best"]
    if best is not None:
        step.load_state_dict(best["step"])  # now, not at the end, it is seen whether it fits
        best = {"epoch": int(best["epoch"]), "value": float(best["value"]), "step": best["step"]}
    step.load_state_dict(state["step"])
    metrics = {name: list(map(float, values)) for name, values in state["history"].items()}
    set_random_state(state["random"])
    if history is not None:
        history.metrics = metrics
    return best


def save_checkpoint(path: str | os.PathLike, step, history, best: dict | None = None) -> None:
    """Write the state of a run, a `Step` and its `History`, to one file, whole or not at all.

    `best` is the best epoch so far, where there is early stopping. The random state is saved here,
    once for all steps.

    The state goes to a temporary file in the same folder, which then takes the place of the old one
    in one operation of the file system.

    Raises:
        OSError: it cannot be written; the message names the path.
    """
    with _named(path), whole(Path(path)) as temporary:
        _write(temporary, step, history, best)


def check_room(path: str | os.PathLike, step, history, best: dict | None = None) -> None:
    """Raise as `save_checkpoint` would, before anything was learned that could be lost."""
    with _named(path), beside(Path(path)) as temporary:
        _write(temporary, step, history, best)


def _write(path: Path, step, history, best: dict | None) -> None:
    file = io.BytesIO()  # torch, writing to a disk that is full, does not say so
    torch.save(run_state(step, history, best), file)
    path.write_bytes(file.getbuffer())


@contextmanager
def _named(path: str | os.PathLike) -> Iterator[None]:
    """Errors of the system name the checkpoint, not its temporary file alone, or no file at all."""
    try:
        yield
    except OSError as error:
        reason = f"checkpoint: {path} cannot be written: {error.strerror}"
        raise OSError(error.errno, reason, error.filename) from error


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
        ValueError: the file is not a checkpoint, is damaged, or is one of another model or step.
            Then nothing is changed.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        try:
            _check_sums(file)
            state = torch.load(file, map_location="cpu", weights_only=True)
            state = {name: state[name] for name in ("step", "history", "best", "random")}
        except Exception as error:
            raise ValueError(
                f"checkpoint: {path} is not a checkpoint of dgm.train.fit, or damaged: {error}"
            ) from error
    before = copy.deepcopy(run_state(step, history))
    try:
        return load_run_state(state, step, history)
    except Exception as error:  # of many kinds, where a state is not what its part expects
        load_run_state(before, step, history)
        raise ValueError(f"checkpoint: {path} belongs to another model or step: {error}") from error


def _check_sums(file) -> None:
    """torch writes an archive with a checksum of each entry, which it does not compare itself."""
    damaged = zipfile.ZipFile(file).testzip()
    if damaged is not None:
        raise ValueError(f"the checksum of {damaged} is wrong")
    file.seek(0)
