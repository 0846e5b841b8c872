"""Make the committed example and the readme's picture: one run, its page, summary and figures.

    python benchmarks/example.py            train (a minute or two), draw, take the picture
    python benchmarks/example.py --redraw   draw again from the committed records and pictures: seconds, no torch

Into ``reports/example`` go the records of the run and the arrays of its pictures, without the weights, then what is drawn
from them: report.html, summary.md, ``figures/`` (SVG, CSV, captions). ``docs/report.png`` is the first screen of that page in
Chromium; ``made-with.json`` beside the page holds the sha256 of the page that the picture was taken of, and the versions of
the libraries that drew: with other ones the bytes differ. `tests/test_example.py` holds all of it against the records.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from latentbench import figures, records, report
from latentbench.run_folder import RunFiles

HOME = Path(__file__).parents[1]
PLACE = "reports/example"
EXAMPLE, PICTURE = HOME / PLACE, HOME / "docs" / "report.png"
MADE_WITH = "made-with.json"
ASKED = ("run", "--models", "ae,vae", "--out", PLACE)
"""The command of the readme; the default run of two models, six seeds each."""
LIBRARIES = ("bokeh", "jinja2", "pillow", "numpy", "matplotlib", "seaborn", "contourpy", "kiwisolver")
"""What draws: with equal versions of these, equal records give equal bytes."""
VIEW = {"width": 1280, "height": 800}
FORMATS = ("svg",)


def train(folder: Path) -> None:
    """Run the command in a folder of its own, and keep of its run folder what the page is drawn from."""
    with tempfile.TemporaryDirectory() as place:
        environment = {**os.environ, "PYTHONPATH": str(HOME)}
        subprocess.run([sys.executable, "-m", "latentbench", *ASKED], cwd=place, env=environment, check=True)
        made = Path(place) / PLACE
        shutil.rmtree(folder, ignore_errors=True)
        for path in ("records.jsonl", *pictures(made)):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(made / path, folder / path)


def pictures(folder: Path) -> Iterator[str]:
    """The files that the records name, relative to the run folder, but for weights."""
    for r in records.read(RunFiles(folder).records):
        if r.kind == "artifact" and r.metric != "weights" and r.status == "ok" and r.path:
            yield r.path


def draw(folder: Path) -> None:
    """All that is made of the records, in a folder that holds them: page, summary, figures."""
    report.write(folder)
    RunFiles(folder).table.unlink()  # the page offers it; a copy would be as large again
    shutil.rmtree(folder / "figures", ignore_errors=True)
    figures.write(folder, folder / "figures", FORMATS)


def versions() -> dict[str, str]:
    """Those of the libraries that draw."""
    return {name: version(name) for name in LIBRARIES}


def photograph(page: Path, picture: Path) -> None:
    """The first screen of the page, light, without scrollbars."""
    from playwright.sync_api import sync_playwright

    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "chrome")
    found = next((p for n in names if n and (p := shutil.which(n))), None)
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=found, args=["--no-sandbox", "--hide-scrollbars"])
        visit = browser.new_page(viewport=VIEW, color_scheme="light", reduced_motion="reduce")
        visit.goto(page.as_uri())
        visit.wait_for_timeout(1500)
        visit.screenshot(path=picture)
        browser.close()


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redraw", action="store_true", help="train nothing: draw what is committed again")
    if not parser.parse_args().redraw:
        train(EXAMPLE)
    draw(EXAMPLE)
    page = RunFiles(EXAMPLE).page
    photograph(page, PICTURE)
    taken = {"page_sha256": page, "picture_sha256": PICTURE}
    made = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in taken.items()} | {
        "libraries": versions()
    }
    (EXAMPLE / MADE_WITH).write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    for path in sorted(p for p in EXAMPLE.rglob("*") if p.is_file()):
        print(f"{path.stat().st_size:>10,} {path.relative_to(HOME)}")


if __name__ == "__main__":
    main()
