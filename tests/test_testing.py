"""The public checks stand on their own: no test runner, and a message that says what broke."""

from __future__ import annotations

import subprocess
import sys

import pytest

from latentbench.testing import ContractBroken
from latentbench.testing.broken import demand


def test_the_checks_need_no_test_runner():
    script = (
        "import sys; sys.modules['pytest'] = None\n"
        "from latentbench import catalog, testing\n"
        "testing.check_metric(catalog.metrics()['mse'])\n"
        "testing.check_dataset(catalog.datasets()['digits'].load('', '', 0))\n"
        "testing.check_model(catalog.models()['vae'].build)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_a_broken_contract_is_an_assertion_that_names_the_thing():
    with pytest.raises(AssertionError, match=r"^my\.metric: is wrong$") as caught:
        demand(False, "my.metric", "is wrong")
    assert caught.type is ContractBroken
    demand(True, "my.metric", "is wrong")
