"""One torch thread for every test, unless OMP_NUM_THREADS says otherwise: processes do not fight over cores. And no test
reads or writes the user's cache: each session of each process has a cache of its own, empty at first. Torch's global generator
stands at the same place before each. Shapes and types are
checked (`shapes`)."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

os.environ["LATENTBENCH_CACHE"] = tempfile.mkdtemp(prefix="latentbench-cache-")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import shapes

shapes.check()  # before any module of the package is imported

import pytest  # noqa: E402
import torch  # noqa: E402

from latentbench.datasets import vision  # noqa: E402
from latentbench.metrics import flow_matching  # noqa: E402

atexit.register(shutil.rmtree, os.environ["LATENTBENCH_CACHE"], ignore_errors=True)
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.hookimpl(tryfirst=True)
def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named after their parameter, never after what they hold: the time that gzip writes into its header made one
    test two, in two processes that started in different seconds, and xdist refused to run any."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """What a test does not seed is the same in every run: networks made without a generator, in its fixtures too."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def short_flows(monkeypatch):
    """Flows are trained for a moment: what a test says of their quality it says of `flow_matching.STEPS` that it sets."""
    monkeypatch.setattr(flow_matching, "STEPS", 25)
    monkeypatch.setattr(flow_matching, "SAMPLING", 10)


@pytest.fixture
def no_network(monkeypatch):
    """Names cannot be looked up, and there is no proxy."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(vision.socket, "getaddrinfo", refuse)
    monkeypatch.setattr(vision, "getproxies", dict)
