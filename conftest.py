"""Every test and every doctest draws the same random numbers, whatever ran before it."""

import signal

import pytest
import torch

# Of a program in the background (`make test &`) the shell has Ctrl-C ignored, and so by all that
# it starts. Some tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before fixtures draw
def pytest_runtest_setup():
    """Two processes share the tests out as they find time: the order is another in every run."""
    torch.manual_seed(0)
