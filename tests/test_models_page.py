"""`docs/models.md` says what the catalog and the docstrings say."""

from __future__ import annotations

import pytest
from models_page import PAGE, RENEW, arguments, loss, meanings, page, section, sections

from latentbench.catalog import models

LISTED = sections(PAGE.read_text(encoding="utf-8"))


def test_the_page_lists_most_models():
    """A new model has no section until the page is made anew; one that is no more has none."""
    assert LISTED.keys() <= models().keys(), f"{PAGE.name} lists what is no more: run `{RENEW}`"
    assert len(LISTED) >= 8


@pytest.mark.parametrize("name", LISTED)
def test_a_section_is_up_to_date_and_whole(name):
    entry = models()[name]
    assert LISTED[name] == section(entry).rstrip(), f"{PAGE.name} is out of date: run `{RENEW}`"
    assert loss(entry), f"the docstring of {name} has no `Loss:`"
    untold = [field for field, meaning in meanings(entry).items() if not meaning]
    assert not untold, f"no docstring says what these fields of {name} mean: {untold}"


def test_every_model_of_the_catalog_has_a_section_on_a_new_page():
    assert list(sections(page())) == list(models())


def test_fields_are_read_from_a_docstring():
    doc = "Title.\n\nLoss: a\n\nArgs:\n    one: first,\n        and more: of it\n    two: second\n\nEnd: not one."
    assert arguments(doc) == {"one": "first, and more: of it", "two": "second"}
    assert arguments("nothing") == {}
