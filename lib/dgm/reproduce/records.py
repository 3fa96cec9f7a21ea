"""What runs leave behind: records, models that are small enough, and where they were made."""

import base64
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import sklearn
import torch
from torch import Tensor, nn

from .._device import device
from .._files import whole

RECORDS, RUNS = Path("book/records"), Path("runs")
COMMITTED = Path(__file__).resolve().parents[3] / "book" / "records"  # beside this library
KEPT = 500_000  # bytes: the weights of a model that takes no more are kept


def surroundings() -> dict:
    """Where and with what a run was made."""
    place = device()
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    return {
        "device": torch.cuda.get_device_name(place) if place.type == "cuda" else place.type,
        "threads": torch.get_num_threads(),
        "processors": os.cpu_count(),
        "versions": versions | {"scikit-learn": sklearn.__version__},
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
        temporary.write_text(laid_out(content) + "\n", encoding="utf-8")


def laid_out(value, indent: str = "\n") -> str:
    """JSON with a line for each entry of an object and for each list of plain values.

    >>> print(laid_out({"seeds": [0, 1], "curves": [[0.1, 0.2], [0.3, 0.4]]}))
    {
      "seeds": [0, 1],
      "curves": [
        [0.1, 0.2],
        [0.3, 0.4]
      ]
    }
    """
    deeper = indent + "  "
    if isinstance(value, dict) and value:
        entries = [
            f"{json.dumps(k, ensure_ascii=False)}: {laid_out(v, deeper)}" for k, v in value.items()
        ]
        return "{" + deeper + f",{deeper}".join(entries) + indent + "}"
    if isinstance(value, list | tuple) and any(isinstance(v, dict | list | tuple) for v in value):
        entries = [laid_out(v, deeper) for v in value]
        return "[" + deeper + f",{deeper}".join(entries) + indent + "]"
    return json.dumps(value, ensure_ascii=False)


def packed(images: Tensor) -> str:
    """Images in [0, 1], grey or binary, as text: a byte for each pixel.

    A record keeps a few test images so, as "examples", for readers who have the model and not the
    data; `Record.examples` reads them.

    >>> packed(torch.tensor([[[[0.0, 1.0]]]]))
    'AP8='
    """
    return base64.b64encode((255 * images).round().byte().cpu().numpy().tobytes()).decode()


def unpacked(text: str, shape: Sequence[int]) -> Tensor:
    """What was `packed`, rounded to 256 levels: (N, *shape).

    >>> unpacked("AP8=", (1, 1, 2))
    tensor([[[[0., 1.]]]])
    """
    pixels = torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
    return pixels.reshape(-1, *shape) / 255


def write_model(file: Path, model: nn.Module) -> None:
    """The parameters and buffers of a model, as they are. `read_model` reads them."""
    with whole(file) as temporary:
        torch.save({name: value.cpu() for name, value in model.state_dict().items()}, temporary)


def read_model(file: Path, model: nn.Module) -> None:
    """Fill a model of the same shape with what was written."""
    model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))


# ---------------------------------------------------------------- float16


def write_models(file: Path, models: dict[str, nn.Module]) -> bool:
    """The weights of small models as float16, by name; whether they are small enough."""
    if not models or not all(is_kept(model) for model in models.values()):
        return False
    with whole(file) as temporary:
        states = {name: halved(model.state_dict()) for name, model in models.items()}
        torch.save(states, temporary)
    return True


def read_models(file: Path) -> dict[str, dict[str, Tensor]]:
    """What `write_models` wrote: by name a state, which `load_state_dict` turns into float32."""
    return torch.load(file, map_location="cpu", weights_only=True)


def round_weights(model: nn.Module) -> None:
    """Round the weights to what is kept of them, if they are: so that this is what is measured."""
    if is_kept(model):
        model.load_state_dict(halved(model.state_dict()))


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state on the CPU, with float16 in the place of longer floats."""
    return {
        name: value.cpu().half() if value.is_floating_point() else value.cpu()
        for name, value in state.items()
    }


def is_kept(model: nn.Module) -> bool:
    """Whether a model is small enough.

    >>> is_kept(nn.Linear(999, 250)), is_kept(nn.Linear(1000, 250))  # 250,000 of two bytes; more
    (True, False)
    """
    return sum(value.nbytes for value in halved(model.state_dict()).values()) <= KEPT
