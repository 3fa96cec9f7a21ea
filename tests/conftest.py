"""Shared by all tests: GPU tests run where there is a GPU, and are named where there is none."""

import pytest
import torch

# the wrong solutions run in the namespace of their chapter, not by themselves
collect_ignore_glob = ["exercises/*/*.py"]


def pytest_collection_modifyitems(config, items):
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    items[:] = [item for item in items if item not in gpu]
    config.hook.pytest_deselected(items=gpu)


def pytest_report_header(config):
    if not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        return "no GPU on this machine: the tests marked gpu are deselected"
    return None


@pytest.fixture
def float64():
    """New tensors are float64, for what is claimed to rounding errors, and float32 afterwards.

    A file of such tests says `pytestmark = pytest.mark.usefixtures("float64")`. Seeds are set by
    the conftest.py above, before every test.
    """
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
