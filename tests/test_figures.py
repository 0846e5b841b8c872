"""Figures for papers: exact sizes, equal bytes, nothing over anything else, nothing said that the records do not say."""

from __future__ import annotations

import csv
import itertools
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_run import Synthetic, build

import latentbench as lb
from latentbench import figures, records
from latentbench.api import Result
from latentbench.cli.app import main
from latentbench.figures import NAMES

EIGHT = (
    "ae",
    "vae",
    "vae:beta=4",
    "vae:beta=0.1",
    "vae:likelihood=bernoulli",
    "ae:width=64",
    "vae:kl=variance",
    "vae:beta=10",
)
WIDTHS = ("3.25in", "6.75in")


def with_distances(folder: Path) -> Path:
    """The run with distances of draws and codes in its atlas, as runs record them."""
    rows = []
    for r in records.read(folder / "records.jsonl"):
        if r.kind == "artifact" and r.metric == "atlas":
            rng = np.random.default_rng(len(r.model))
            far = 0.9 if "vae" in r.model else 3.0
            arrays = {"draw_depth": rng.lognormal(np.log(far), 0.3, 400), "code_depth": rng.lognormal(-0.5, 0.3, 100)}
            np.savez(folder / r.path, **arrays)
            r = replace(r, sha256=records.file_digest(folder / r.path))
        rows.append(r)
    records.write(folder / "records.jsonl", rows)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return with_distances(build(tmp_path_factory.mktemp("runs") / "demo"))


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    return with_distances(build(tmp_path_factory.mktemp("runs") / "eight", Synthetic(models=EIGHT)))


@pytest.fixture(scope="module")
def written(run, tmp_path_factory):
    return {w: figures.write(run, tmp_path_factory.mktemp("out") / w, width=w) for w in WIDTHS}


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_figure_in_every_format_with_its_numbers_and_caption(written):
    for done in written.values():
        assert done.left_out == {}
        assert {p.name for p in done.files} == {
            "captions.md", *(f"{n}.{e}" for n in NAMES for e in (*figures.FORMATS, "csv"))
        }  # fmt: skip
        captions = (done.folder / "captions.md").read_text("utf-8")
        for name in NAMES:
            assert re.search(rf"^\*\*{name}\.\*\* .*d = 8; 6 seeds\.", captions, re.MULTILINE), name
            assert len(table(done.folder, name)) >= 2


@pytest.mark.parametrize(("width", "inches"), [("3.25in", 3.25), ("6.75in", 6.75)])
def test_the_width_is_the_one_asked_for(written, width, inches):
    folder = written[width].folder
    for name in NAMES:
        with Image.open(folder / f"{name}.png") as image:
            assert abs(image.width - inches * 300) <= 1
            assert image.info["dpi"][0] == pytest.approx(300, abs=0.1)
        head = (folder / f"{name}.svg").read_text("utf-8")[:2000]
        assert float(re.search(r'<svg[^>]* width="([\d.]+)pt"', head)[1]) == pytest.approx(inches * 72)
        box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ", (folder / f"{name}.pdf").read_bytes())
        assert float(box[1]) == pytest.approx(inches * 72)


def test_millimetres_are_a_width_too(run, tmp_path):
    done = figures.write(run, tmp_path / "mm", ["svg"], "88mm", names=["scores"])
    head = (done.folder / "scores.svg").read_text("utf-8")[:2000]
    assert float(re.search(r'width="([\d.]+)pt"', head)[1]) == pytest.approx(88 / 25.4 * 72, abs=0.01)


def test_fonts_are_embedded(written):
    for name in NAMES:
        pdf = (written["3.25in"].folder / f"{name}.pdf").read_bytes()
        assert b"/Type3" not in pdf
        assert b"/FontFile2" in pdf  # TrueType, which journals and editors take
        svg = (written["3.25in"].folder / f"{name}.svg").read_text("utf-8")
        assert "<text" not in svg  # letters as outlines: no font is asked for


def test_equal_runs_give_equal_files_from_another_process_and_with_other_settings(run, written, tmp_path):
    (tmp_path / "matplotlibrc").write_text(
        "font.size: 30\naxes.facecolor: red\nlines.linewidth: 9\nsvg.fonttype: none\n"
    )
    code = (
        "import sys; from pathlib import Path; from latentbench import figures; "
        "figures.write(Path(sys.argv[1]), Path(sys.argv[2]), ['svg', 'png'], '3.25in')"
    )
    environment = {**os.environ, "MATPLOTLIBRC": str(tmp_path), "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code, str(run), str(tmp_path / "again")], check=True, env=environment)
    for path in (p for p in written["3.25in"].files if p.suffix != ".pdf"):  # whose fonts are packed in any order
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def boxes(figure) -> list[tuple[str, object]]:
    """Every text that is seen, with where it stands."""
    from matplotlib.text import Text

    canvas = figure.canvas
    canvas.draw()
    renderer = canvas.get_renderer()
    hidden, unseen = set(), set()
    for axes in figure.axes:
        if not axes.get_visible():
            hidden.update(map(id, axes.findobj(Text)))
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            inside = {id(t.label1) for t in ticks if low <= t.get_loc() <= high and axes.axison}
            unseen.update(id(label) for t in ticks for label in (t.label1, t.label2) if id(label) not in inside)
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    texts = [t for t in texts if id(t) not in hidden | unseen]
    return [(t.get_text(), t.get_window_extent(renderer)) for t in texts]


@pytest.mark.parametrize("style", figures.STYLES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_no_label_lies_over_another_or_leaves_the_figure(eight, name, width, style):
    figure = figures.draw(eight, name, width, style)
    found = boxes(figure)
    assert len(found) > 5
    wide, high = figure.get_size_inches() * figure.dpi
    for text, box in found:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= wide + 1, text
        assert box.y1 <= high + 1, text
    for (a, one), (b, two) in itertools.combinations(found, 2):
        apart = one.x1 <= two.x0 + 1 or two.x1 <= one.x0 + 1 or one.y1 <= two.y0 + 1 or two.y1 <= one.y0 + 1
        assert apart, (a, b)


def test_scores_are_those_of_the_records(run, written):
    rows = {(r["model"], r["metric"]): r for r in table(written["3.25in"].folder, "scores")}
    result = Result(records.read(run / "records.jsonl"))
    for metric in ("r2", "validity.normal", "path.tortuosity"):
        for model in ("ae", "vae"):
            row = rows[model, metric]
            assert float(row["mean"]) == pytest.approx(result.value(metric, model=model))
            assert float(row["low"]) < float(row["mean"]) < float(row["high"])
            assert row["n"] == "6"
    assert rows["PCA, same d", "r2"]["mean"] == "0.659"


def test_a_caption_counts_what_is_shown(run, written):
    captions = (written["3.25in"].folder / "captions.md").read_text("utf-8")
    holes = table(written["3.25in"].folder, "holes")
    draws = [float(r["distance over radius"]) for r in holes if r["model"] == "ae" and r["of"].startswith("draw")]
    share = round(100 * sum(v > 1 for v in draws) / len(draws))
    assert re.search(rf"\*\*holes\..* {share}\s% of {len(draws)} draws for ae", captions)
    frames = [r for r in table(written["3.25in"].folder, "continuity") if r["model"] == "vae"]
    valid = sum(r["valid"] == "yes" for r in frames)
    assert f"{valid} of {len(frames)} for vae" in captions
    assert "95 % t-intervals, for one split of the data and one judge" in captions


def test_one_seed_has_no_interval_and_the_caption_says_so(tmp_path):
    done = figures.write(build(tmp_path / "one", Synthetic(seeds=1)), tmp_path / "out", ["svg"], names=["scores"])
    captions = (done.folder / "captions.md").read_text("utf-8")
    assert "t-interval" not in captions
    assert "one seed each, so there is no interval" in captions
    assert {r["low"] for r in table(done.folder, "scores")} == {""}


def test_a_collapsed_model_is_named_in_the_caption(tmp_path):
    folder = build(tmp_path / "bad")
    rows = [
        replace(r, value=0.0) if r.metric == "active_units" and r.model == "vae" and r.kind == "value" else r
        for r in records.read(folder / "records.jsonl")
    ]
    records.write(folder / "records.jsonl", rows)
    done = figures.write(folder, tmp_path / "out", ["svg"], names=["scores", "frontier"])
    assert (done.folder / "captions.md").read_text("utf-8").count("vae collapsed (6 of 6 seeds)") == 2


def test_models_have_the_colours_of_the_page():
    from latentbench.figures import look

    style = (Path(lb.__file__).parent / "report" / "style.css").read_text("utf-8")
    light = style.partition("@media")[0]
    for letter, colours in (("m", look.MODELS), ("k", look.CLASSES)):
        assert tuple(re.search(rf"--{letter}{k}: (#\w+);", light)[1] for k in range(len(colours))) == colours


def test_what_lacks_pictures_is_left_out_and_said(tmp_path, capsys):
    folder = build(tmp_path / "demo")
    for path in folder.glob("artifacts/**/*.npz"):
        path.unlink()
    assert main(["figures", str(folder), "--format", "svg"]) == 0
    out, err = capsys.readouterr()
    assert out.strip() == str(folder / "figures")
    said = [line.split(": ")[2] for line in err.splitlines() if line.startswith("latentbench: left out: ")]
    assert said == ["continuity", "holes", "maps", "posterior"]
    assert {p.stem for p in (folder / "figures").glob("*.svg")} == {"scores", "completeness", "frontier", "training"}
    captions = (folder / "figures" / "captions.md").read_text("utf-8")
    assert "*Left out: maps*: " in captions


REFUSALS = [
    (["--format", "bmp"], "unknown format 'bmp'"),
    (["--format", ","], "format: none is named"),
    (["--width", "9"], "width: '9' is not allowed"),
    (["--width", "1in"], "width: '1in' is not allowed"),
    (["--style", "poster"], "unknown style 'poster'; did you mean 'paper'?"),
    (["--only", "score"], "unknown figure 'score'; did you mean 'scores'?"),
    (["--out", "full"], "out: full is not an empty folder"),
    (["--out", ""], "figures: --out"),
]


@pytest.mark.parametrize(("words", "said"), REFUSALS, ids=[" ".join(w) for w, _ in REFUSALS])
def test_refusals_are_one_line_and_write_nothing(run, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    assert main(["figures", str(run), *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert said in err
    assert [p.name for p in tmp_path.rglob("*")] == ["full", "mine.txt"]
    assert not (run / "figures").exists()


def test_what_is_no_run_is_refused(tmp_path, capsys):
    assert main(["figures", str(tmp_path)]) == 2
    assert f"latentbench: figures: {tmp_path} is not a finished run's folder" in capsys.readouterr().err
    bare = build(tmp_path / "x")
    for path in bare.glob("artifacts/**/*.npz"):
        path.unlink()
    assert main(["figures", str(bare), "--only", "holes"]) == 2
    assert "figures: holes: " in capsys.readouterr().err


def test_a_result_gives_figures_without_touching_matplotlibs_state(run):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    result = Result(records.read(run / "records.jsonl"), run)
    for name in ("continuity", "maps"):
        figure = result.figure(name, width="3.25in")
        assert figure.get_size_inches()[0] == 3.25
        assert type(figure.canvas).__name__ == "FigureCanvasAgg"
    assert dict(mpl.rcParams) == before
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []
    with pytest.raises(
        ValueError, match=r"unknown figure 'contiuity'; did you mean 'continuity'\? \(allowed: .*scores"
    ):
        result.figure("contiuity")


def test_a_result_without_a_folder_has_the_figures_of_numbers(run):
    result = Result(records.read(run / "records.jsonl"))
    assert result.figure("scores").axes
    with pytest.raises(ValueError, match=r"figure 'maps': .* is not in the run folder"):
        result.figure("maps")


def test_libraries_that_draw_are_imported_here_alone_and_late():
    package = Path(lb.__file__).parent
    found = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if re.search(r"^\s*(from|import) (matplotlib|seaborn)\b", path.read_text("utf-8"), re.MULTILINE)
        and path.name != "api.py"  # the name of a type
    }
    assert found == {"figures"}
    code = "import latentbench.figures, latentbench.cli.figures, latentbench.api, sys; print([m for m in ('matplotlib', 'seaborn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    code = f"import sys; from latentbench import figures; figures.draw({str(Path('nowhere'))!r}, 'scores')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "figures: nowhere is not a finished run's folder" in done.stderr
