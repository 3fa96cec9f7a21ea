"""Every test and every doctest draws the same random numbers, whatever ran before it."""

import pytest
import torch


@pytest.hookimpl(tryfirst=True)  # before fixtures draw
def pytest_runtest_setup():
    """Two processes share the tests out as they find time: the order is another in every run."""
    torch.manual_seed(0)
