"""The committed example and the readme's picture are what its committed records give: nothing is trained here.

Made anew by `python benchmarks/example.py`, or with ``--redraw`` from the same records. Bytes are compared where the libraries
that draw are those that drew it; with others, what the page says, the summary, the captions and every number are.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import sys
from html import unescape
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]
sys.path.insert(0, str(HOME / "benchmarks"))

import example  # noqa: E402

MADE = json.loads((example.EXAMPLE / example.MADE_WITH).read_text("utf-8"))
SAME_LIBRARIES = MADE["libraries"] == example.versions()
AGAIN = "python benchmarks/example.py --redraw makes it anew"


@pytest.fixture(scope="module")
def again(tmp_path_factory):
    """The example drawn anew, in a folder of the same name: the page says it."""
    folder = tmp_path_factory.mktemp("drawn") / example.EXAMPLE.name
    for path in ("records.jsonl", *example.pictures(example.EXAMPLE)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(example.EXAMPLE / path, folder / path)
    example.draw(folder)
    return folder


def prose(page: str) -> str:
    """What a page says: without scripts, styles, drawings and addresses of pictures and downloads."""
    for element in ("script", "style", "svg"):
        page = re.sub(rf"<{element}\b.*?</{element}>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


def test_the_page_is_what_its_records_give(again):
    committed, drawn = (f / "report.html" for f in (example.EXAMPLE, again))
    assert prose(drawn.read_text("utf-8")) == prose(committed.read_text("utf-8")), AGAIN
    if SAME_LIBRARIES:
        assert drawn.read_bytes() == committed.read_bytes(), AGAIN


def test_the_summary_is_what_its_records_give(again):
    assert (again / "summary.md").read_text("utf-8") == (example.EXAMPLE / "summary.md").read_text("utf-8"), AGAIN


def test_the_figures_are_what_its_records_give(again):
    committed, drawn = ({p.name: p for p in (f / "figures").iterdir()} for f in (example.EXAMPLE, again))
    assert committed.keys() == drawn.keys(), AGAIN
    for name, path in committed.items():
        if path.suffix == ".svg":
            if SAME_LIBRARIES:
                assert drawn[name].read_bytes() == path.read_bytes(), f"{name}: {AGAIN}"
        elif path.suffix == ".csv":
            one, two = (list(csv.reader(p.open(encoding="utf-8"))) for p in (path, drawn[name]))
            assert one == two, f"{name}: {AGAIN}"
        else:
            assert drawn[name].read_text("utf-8") == path.read_text("utf-8"), f"{name}: {AGAIN}"


def test_the_picture_was_taken_of_this_page():
    page = hashlib.sha256((example.EXAMPLE / "report.html").read_bytes()).hexdigest()
    assert MADE["page_sha256"] == page, AGAIN
    picture = example.PICTURE.read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert tuple(int.from_bytes(picture[k : k + 4], "big") for k in (16, 20)) == (
        example.VIEW["width"],
        example.VIEW["height"],
    )
    assert MADE["picture_sha256"] == hashlib.sha256(picture).hexdigest(), AGAIN


def test_the_example_holds_nothing_of_whose_machine_made_it():
    text = (example.EXAMPLE / "records.jsonl").read_text("utf-8")
    assert f'"out":"{example.PLACE}"' in text
    assert not re.search(r'"/(tmp|home|root|work|Users)/', text)


def test_it_is_small_and_the_readmes_link_to_it():
    files = [p for p in example.EXAMPLE.rglob("*") if p.is_file()]
    assert not [p for p in files if p.suffix == ".safetensors"]
    assert sum(p.stat().st_size for p in files) < 6e6
    for name in ("README.md", "README.zh-CN.md"):
        assert f"({example.PLACE}/report.html)" in (HOME / name).read_text("utf-8")
        assert f"({example.PLACE}/figures/" in (HOME / name).read_text("utf-8")
