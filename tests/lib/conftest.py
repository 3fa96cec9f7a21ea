"""What tests of training start from."""

import pytest
import torch

from dgm import data


@pytest.fixture
def cpu(monkeypatch):
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    torch.manual_seed(0)


@pytest.fixture
def batches():
    return data.load("ring").train.batches(1000)
