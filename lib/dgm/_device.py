"""Where tensors live: the one place of the library that names a device."""

import os

import torch


def device(name=None):
    """The device to compute on: `name`, else DGM_DEVICE, else the first of cuda, mps and cpu.

    Under torchrun, cuda is the GPU with the number that torchrun gave the process.

    The device is tried with an empty tensor, so that one this machine lacks is reported here and
    not in the middle of a training run.

    Args:
        name: a `torch.device` or its name ("cpu", "cuda:1"); None asks the environment variable
            DGM_DEVICE, then the machine.

    Returns:
        torch.device

    Raises:
        ValueError: the device is unknown to torch, or this machine does not have it.

    >>> device("cpu")
    device(type='cpu')
    """
    source = "device" if name is not None else "DGM_DEVICE"
    name = name or os.environ.get("DGM_DEVICE")
    if not name:
        return torch.device(_own(_best()))
    try:
        return torch.empty(0, device=_own(name)).device
    except Exception as error:  # torch raises RuntimeError, AssertionError, ... for the same thing
        raise ValueError(
            f"{source} must name a device of this machine (cpu, cuda, cuda:0, mps, ...), "
            f"got {name!r}: {str(error).splitlines()[0]}"
        ) from error


def emulates_bf16(place: torch.device) -> bool:
    """Whether the device does no arithmetic in bfloat16, so that torch takes the way by float32.

    Among CPUs those do it that have AVX512_BF16, AMX or Arm's BF16.
    """
    if place.type == "cuda":
        return not torch.cuda.is_bf16_supported(including_emulation=False)
    if place.type == "cpu":
        able = torch.cpu.get_capabilities()
        return not any(value for name, value in able.items() if name.endswith("bf16"))
    return False


def _best():
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _own(name):
    """Of several processes on a machine, each has a GPU of its own."""
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return name
