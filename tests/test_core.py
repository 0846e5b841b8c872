"""The nouns themselves: what an Encoding computes once is its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from latentbench.core import Encoding
from latentbench.testing.examples import example_encoding


def test_a_copy_of_an_encoding_starts_with_nothing_computed():
    seen: list[Encoding] = []

    def count(e: Encoding) -> int:
        seen.append(e)
        return len(seen)

    e = example_encoding()
    assert (e.once(count), e.once(count)) == (1, 1)
    moved = replace(e, mu=2 * e.mu)
    assert moved.once(count) == 2
    assert seen[1] is moved
    assert (e.once(count), moved.once(count)) == (1, 2)
    with pytest.raises(ValueError, match="_memo"):
        replace(e, _memo={})
