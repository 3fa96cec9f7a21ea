"""What runs leave behind: records, models that are small enough, and where they were made."""

import json
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn

from .._device import device

RECORDS, RUNS = Path("book/records"), Path("runs")


def surroundings() -> dict:
    """Where and with what a run was made."""
    place = device()
    return {
        "device": torch.cuda.get_device_name(place) if place.type == "cuda" else place.type,
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def commit() -> str | None:
    """The commit of this source, with "-dirty" if files differ from it; None without git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        run = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()


def write(file: Path, content: dict) -> None:
    """JSON, whole or not at all."""
    with whole(file) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_model(file: Path, model: nn.Module) -> None:
    """The parameters and buffers of a model, whole or not at all. `read_model` reads them."""
    with whole(file) as temporary:
        torch.save({name: value.cpu() for name, value in model.state_dict().items()}, temporary)


def read_model(file: Path, model: nn.Module) -> None:
    """Fill a model of the same shape with what was written."""
    model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))


def megabytes(model: nn.Module) -> float:
    """What a model's parameters and buffers take.

    >>> megabytes(nn.Linear(999, 250))  # 250,000 numbers of four bytes
    1.0
    """
    return sum(value.nbytes for value in model.state_dict().values()) / 1e6


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """A temporary file, which takes the place of the old one if nothing went wrong."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(file.name + ".part")
    try:
        yield temporary
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
