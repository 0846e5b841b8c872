"""The public checks stand on their own: no test runner, and a message that says what broke."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from latentbench.core import Metric, Need, Phrase, Truth
from latentbench.testing import ContractBroken, check_metric, example_encoding
from latentbench.testing.broken import demand
from latentbench.testing.metrics import declaration_is_complete


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


BRIGHT = Need("bright", lambda e: e.truth is not None and "light" in e.truth.factors, "the images have no known light")
"""A need that some data set brings."""


def lit(sigma, dtype):
    light = torch.rand(60, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return replace(example_encoding(sigma, dtype=dtype), factors=light, truth=Truth(("light",), lambda f: f))


def test_a_need_of_ones_own_is_held_like_the_others():
    mine = Metric(
        "light.mean", lambda e: float(e.factors.mean()), "none", (0.0, 1.0), "grey value", "mean light", "this test",
        frozenset({BRIGHT}),
    )  # fmt: skip
    check_metric(mine, lit)
    assert example_encoding().absent(mine.needs) == "the images have no known light"
    assert example_encoding(missing={"bright": "it is dark"}).absent(mine.needs) == "it is dark"
    with pytest.raises(ContractBroken, match=r"light\.mean: no example holds what it needs \(bright\)"):
        check_metric(mine)
    with pytest.raises(ContractBroken, match="fails without known factors, which it does not need"):
        check_metric(replace(mine, needs=frozenset()), lit)
    for met, message in ((lambda e: e.truth.factors, "cannot be tested on a bare encoding"), (lambda e: 1, "gives 1")):
        with pytest.raises(ContractBroken, match=message):
            check_metric(replace(mine, needs=frozenset({replace(BRIGHT, met=met)})), lit)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "latent"}, "family: 'latent' is not one of"),
        ({"headline": ("is it?",)}, "headline"),
        ({"phrase": Phrase("spread", "spreads more", "")}, "phrase: .* leaves a text empty"),
        ({"needs": frozenset({replace(BRIGHT, reason="")})}, "no name or reason"),
    ],
)
def test_a_declaration_is_held_to_what_the_page_makes_of_it(change, message):
    good = Metric("latent.spread", lambda e: float(e.mu.std()), "none", (0.0, None), "u", "spread", "this test")
    with pytest.raises(ContractBroken, match=message):
        declaration_is_complete(replace(good, **change), lit)


def test_a_broken_contract_is_an_assertion_that_names_the_thing():
    with pytest.raises(AssertionError, match=r"^my\.metric: is wrong$") as caught:
        demand(False, "my.metric", "is wrong")
    assert caught.type is ContractBroken
    demand(True, "my.metric", "is wrong")
