"""Libraries are loaded without a look for garbage, and it is looked for again afterwards."""

import gc
import subprocess
import sys

import pytest

from latentbench.machine import uncollected


def test_it_is_looked_for_again_also_after_a_failure():
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), uncollected():
        import latentbench.nothing_of_this_name  # noqa: F401
    assert gc.isenabled()


def test_who_never_looks_for_it_is_left_to_it():
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


LOADING = """
import gc
begun = []
gc.callbacks.append(lambda phase, info: begun.append(info["generation"]))
from latentbench.running import worker_server
before = len(begun)
worker_server._load()
print(len(begun) - before, gc.isenabled())
"""


def test_what_workers_need_is_loaded_so():
    done = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True, check=True, timeout=120)
    looks, enabled = done.stdout.split()
    assert enabled == "True"
    assert int(looks) < 10  # some hundreds otherwise; a look may be due at the end
