"""How codes are used: m codes alike, one code, a whole split and not a batch; scipy's entropy."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from fakes import Coordinates, known_answer, proofs_of, reference, value
from scipy.stats import entropy

from latentbench.core import Codebook, Undefined
from latentbench.metrics.codes import code_counts, perplexity, used_share
from latentbench.randomness import seeded
from latentbench.testing.examples import discrete_encoding

PROOFS = (
    proofs_of(
        "perplexity",
        "code_usage",
        package="scipy",
        coordinates=Coordinates("exact", "exact", "exact", "exact", "counts of codes, whatever points they stand for"),
    ),
)


def coded(codes: torch.Tensor, size: int):
    """An encoding known by its codes (n, P) alone."""
    e = discrete_encoding()
    points = codes.float()
    book = Codebook(size, codes.shape[1], lambda z: z.long(), lambda c: c.float())
    return replace(e, codes=codes, codebook=book, mu=points, z=points)


@known_answer("perplexity", "code_usage")
@pytest.mark.parametrize("m", [1, 2, 37, 512])
def test_m_codes_used_alike(m):
    codes = (torch.arange(4 * m) % m).view(-1, 2)
    assert value("perplexity", coded(codes, 512)) == pytest.approx(m, rel=1e-12)
    assert value("code_usage", coded(codes, 512)) == m / 512


@known_answer("perplexity")
def test_a_split_is_more_than_its_batches():
    """512 codes in turn: a batch of 64 can never show more than 64 of them."""
    codes = (torch.arange(2048) % 512)[:, None]
    batches = [perplexity(code_counts(part, 512)) for part in codes.split(64)]
    assert max(batches) == pytest.approx(64)
    assert value("perplexity", coded(codes, 512)) == pytest.approx(512)


@reference("perplexity", "code_usage")
def test_scipys_entropy_of_the_counts():
    codes = torch.multinomial(torch.arange(1.0, 41.0), 900, replacement=True, generator=seeded(0, "codes")).view(-1, 3)
    e = coded(codes, 64)
    counts = code_counts(codes, 64).numpy()
    assert value("perplexity", e) == pytest.approx(math.exp(entropy(counts)), rel=1e-12)
    assert value("code_usage", e) == pytest.approx(math.exp(entropy(counts > 0)) / 64, rel=1e-12)


def test_positions_that_never_change_are_told_apart():
    """Two positions, each stuck at a code of its own: two codes are in use, and at each position one."""
    e = coded(torch.tensor([[0, 5]]).repeat(30, 1), 8)
    from latentbench.catalog import metrics

    found = metrics()["perplexity"].compute(e)
    assert found.value == pytest.approx(2)
    assert found.detail["per_position"] == pytest.approx([1, 1])


def test_nothing_to_count_is_undefined():
    with pytest.raises(Undefined):
        perplexity(torch.zeros(4))
    assert used_share(torch.zeros(4)) == 0
