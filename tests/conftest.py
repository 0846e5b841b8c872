"""One torch thread for every test, unless OMP_NUM_THREADS says otherwise: processes do not fight over cores."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import pytest
import torch

from latentbench.datasets import vision

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture
def no_network(monkeypatch):
    """Names cannot be looked up, and there is no proxy."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(vision.socket, "getaddrinfo", refuse)
    monkeypatch.setattr(vision, "getproxies", dict)
