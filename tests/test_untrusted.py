"""Text and arrays of unknown origin: shown as text wherever they are shown, read within limits, written over nothing."""

from __future__ import annotations

import csv
import io
import os
import re
import stat
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic_run
import torch
from test_malformed import bomb

import latentbench as lb
from latentbench import records
from latentbench.cli import main
from latentbench.files.arrays import Unreadable, read_npz
from latentbench.files.outputs import is_ours, output_file
from latentbench.files.plain_text import CONTROL, in_markdown, in_spreadsheet, one_line, visible
from latentbench.report.exports import tables

NAME = '<img src=x onerror=alert(1)>|![p](http://e/x.png) @everyone `code` </script><script>alert(2)</script>&"'
REASON = "broke\x1b]0;title\x07\n<b>bold</b> @team \u202e=1+1"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a hostile name in every text field: two models, units, splits, a failed cell with such a reason."""
    folder = synthetic_run.build(tmp_path_factory.mktemp("hostile") / "run")
    rows = records.read(folder / "records.jsonl")

    def renamed(r: records.Record) -> records.Record:
        r = replace(
            r, model=f"{r.model} {NAME}" if r.is_model else r.model, dataset=f"{r.dataset}{NAME}", unit=r.unit + NAME
        )
        r = replace(r, params={f"k{NAME}": NAME, **r.params}, run=r.run + NAME, environment=r.environment + NAME)
        detail = (
            {k: v for k, v in r.detail.items() if k not in ("models", "definitions")} if r.kind == "run" else r.detail
        )
        return replace(
            r,
            detail={
                **detail,
                **({"command": NAME, "git": NAME, "version": NAME, "started": NAME} if r.kind == "run" else {}),
            },
        )

    rows = [renamed(r) for r in rows]
    bad = next(r for r in rows if r.kind == "value" and r.is_model and r.value is not None)
    rows.append(replace(bad, seed=99, value=None, samples=None, status="failed", reason=REASON))
    records.write(folder / "records.jsonl", rows)
    return folder


def test_a_terminal_sees_no_control_characters(hostile, tmp_path, capsys):
    for words in (["compare", str(hostile), str(hostile)], ["compare", str(hostile), str(hostile), "--json"],
                  ["report", str(hostile), "--out", str(tmp_path / "p.html")]):  # fmt: skip
        assert main(words) == 0
        printed = capsys.readouterr()
        assert not CONTROL.search((printed.out + printed.err).replace("\n", "").replace("\t", ""))
    assert main(["report", "\x1b]0;title\x07"]) == 2
    assert "\\u001b" in capsys.readouterr().err


def test_markdown_shows_names_as_text(hostile, tmp_path):
    rows = records.read(hostile / "records.jsonl")
    assert main(["compare", str(hostile), str(hostile), "--out", str(tmp_path / "c.md")]) == 0
    compared = (tmp_path / "c.md").read_text("utf-8")
    assert is_ours(tmp_path / "c.md")
    for text in (
        tables.summary_md(rows),
        compared,
    ):
        text = re.sub("</?details>|</?summary>", "", text)  # our own
        body = "\n".join(line for line in text.splitlines() if not line.startswith(("    ", "<!-- made by")))
        assert "onerror" in body  # the name is there,
        assert not re.search(r"<[a-z/!]", body)  # as text
        assert "](" not in body
        assert "![" not in body
        assert not re.search(r"(?<!\w)@\w", body)
        assert not CONTROL.search(body.replace("\n", ""))
        for block in re.findall(r"(?:^\|.*\n)+", body, re.MULTILINE):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_output_that_cannot_be_encoded_is_replaced(monkeypatch):
    for words in (["list", "metrics"], ["run", "--help"], ["--help"]):
        stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(words) == 0
        stream.flush()
        assert len(stream.buffer.getvalue()) > 100


def test_a_fault_of_the_program_is_no_verdict(monkeypatch, capsys):
    def broken(*_: object) -> None:
        raise KeyError("a fault")

    monkeypatch.setattr("latentbench.cli.app._listing", broken)
    assert main(["list", "models"]) == 70
    assert "KeyError" in capsys.readouterr().err


def test_a_spreadsheet_sees_no_formulas():
    row = records.Record(
        model="=HYPERLINK(1)", dataset="@x", metric="+m", split="-1+1", unit="\t=1", value=-0.5, reason="=2"
    )
    cells = next(csv.DictReader(io.StringIO(tables.results_csv([row]))))
    assert not any(c[:1] in tuple("=+-@\t\r") for k, c in cells.items() if k != "value")
    assert cells["value"] == "-0.5"
    assert cells["model"] == "'=HYPERLINK(1)"


def test_the_page_escapes_every_name(hostile, tmp_path):
    for lang in ("en", "zh"):
        page = lb_page(hostile, tmp_path / f"{lang}.html", lang)
        assert "onerror" in page
        assert "<img src=x" not in page
        assert "alert(2)</script>" not in page
        assert "<b>bold</b> @team" not in page
    history = tmp_path / "h.html"
    assert main(["compare", "--history", str(hostile), str(hostile), "--out", str(history)]) == 0
    assert "<img src=x" not in history.read_text("utf-8")


def lb_page(folder: Path, out: Path, lang: str) -> str:
    assert main(["report", str(folder), "--out", str(out), "--lang", lang]) == 0
    return out.read_text("utf-8")


def test_what_is_shown_in_a_place_is_plain_there():
    assert visible("a\x1bb\nc", keep="\n") == "a\\u001bb\nc"
    assert one_line("x" * 400, 300) == "x" * 195 + " ... " + "x" * 100
    assert in_markdown("path.validity_gain of vae:beta=4, mse@train") == "path.validity_gain of vae:beta=4, mse@train"
    assert in_spreadsheet(-1.5) == -1.5
    assert in_spreadsheet("-x") == "'-x"


def archive(path: Path, descr: str, shape: str, content: bytes) -> Path:
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + content)
    return path


@pytest.mark.parametrize(
    ("descr", "shape", "content", "why"),
    [
        ("'|u1'", "(1000000000000, 1000)", b"", "declares"),
        ("'|u1'", "(4,)", b"12345", "declares 4 bytes and has 5"),
        ("'|u1'", "(-4, -1)", b"1234", "declares the shape"),
        ("'|u1'", "(10000000,)", bytes(10**7), "more than 1,000,000"),
        ("'|O'", "(1,)", b"\x80\x04N.", "Python objects"),
        ("[('a', '|O')]", "(1,)", b"\x80\x04N.", "Python objects"),
        ("'|V1000000000'", "(1,)", b"", "declares"),
        ("'nothing'", "(1,)", b"1", r"[a-z]"),
        ("'|u1'", "'x'", b"1", r"[a-z]"),
        ("'|u1'", "(" * 300 + ")" * 300, b"1", r"[a-z]"),
    ],
)
def test_arrays_are_refused_before_anything_is_allocated(tmp_path, descr, shape, content, why):
    with pytest.raises(Unreadable, match=why) as caught:
        read_npz(archive(tmp_path / "x.npz", descr, shape, content), 1_000_000)
    assert "\n" not in str(caught.value)


def test_a_bomb_takes_no_memory(tmp_path):
    bomb(tmp_path / "x.npz", told=10**12)
    assert (tmp_path / "x.npz").stat().st_size < 10_000
    with pytest.raises(Unreadable):
        read_npz(tmp_path / "x.npz", 10**13)
    np.savez_compressed(tmp_path / "whole.npz", x=np.arange(6).reshape(2, 3), y=np.array("text"), other=np.zeros(10))
    read = read_npz(tmp_path / "whole.npz", 1000, ("x", "y"))
    assert read["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (str(read["y"]), read["other"].size) == ("text", 0)


@pytest.mark.parametrize("how", ["bomb", "objects", "torn", "loop", "other shapes", "a folder"])
def test_an_artifact_that_cannot_be_read_is_not_drawn(tmp_path, how, capsys):
    folder = synthetic_run.build(tmp_path / "run")
    rows = []
    for r in records.read(folder / "records.jsonl"):
        if r.kind == "artifact" and r.path and r.path.endswith(".npz") and r.metric != "data":
            place = folder / r.path
            with np.load(place) as file:
                arrays = dict(file)
            content = place.read_bytes()
            place.unlink()
            if how == "bomb":
                bomb(place, told=10**12)
            elif how == "objects":
                np.savez(place, **{k: np.array([None]) for k in arrays})
            elif how == "torn":
                place.write_bytes(content[: len(content) // 2])
            elif how == "loop":
                place.symlink_to(place)
            elif how == "other shapes":
                np.savez(place, **{k: np.zeros((1,) * a.ndim) for k, a in arrays.items()})
            else:
                place.mkdir()
            r = replace(r, sha256=records.file_digest(place) if place.is_file() else None)
        rows.append(r)
    records.write(folder / "records.jsonl", rows)
    assert main(["report", str(folder), "--out", str(tmp_path / "p.html")]) == 0, capsys.readouterr().err
    if how != "other shapes":
        assert "Not drawn" in (tmp_path / "p.html").read_text("utf-8")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_run.build(tmp_path_factory.mktemp("whole") / "run")


def asked(whole: Path, command: str, out: Path) -> list[str]:
    before = {"report": ["report", str(whole)], "compare": ["compare", str(whole), str(whole)]}
    return [*before.get(command, ["compare", "--history", str(whole), str(whole)]), "--out", str(out)]


@pytest.mark.parametrize("command", ["report", "compare", "history"])
def test_nothing_of_anybody_elses_is_overwritten(whole, tmp_path, command, capsys):
    (tmp_path / "notes.md").write_text("my notes")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "link").symlink_to(tmp_path / "notes.md")
    for name in ("notes.md", "folder", "fifo", "loop", "link", "absent/x.html", "/dev/null", "/dev/full"):
        assert main(asked(whole, command, tmp_path / name)) == 2, name
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert name in line
    assert (tmp_path / "notes.md").read_text() == "my notes"
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)
    out = tmp_path / "ours"
    assert main(asked(whole, command, out)) == 0
    (tmp_path / "to ours").symlink_to(out)
    out.write_bytes(first := out.read_bytes())
    assert main(asked(whole, command, tmp_path / "to ours")) == 0  # once more, through a link, over what is ours
    assert (tmp_path / "to ours").is_symlink()
    assert out.read_bytes() == first
    assert output_file("report", tmp_path / "to ours") == out.resolve()


def test_a_module_in_the_working_folder_stands_in_for_no_other(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('never')")
    (tmp_path / "own_model_here.py").write_text("Model = int")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = list(sys.path)
    with pytest.raises(ValueError, match="has no attribute 'Thing'"):
        lb.catalog.find_builder(lb.config.parse_spec("json:Thing"))
    assert lb.catalog.find_builder(lb.config.parse_spec("own_model_here:Model")) is int
    assert sys.path == [*before, str(tmp_path)]
    code = "import sys; assert '' not in sys.path and not any(p == sys.argv[1] for p in sys.path); print('safe')"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "safe\n"


def test_a_callable_that_writes_into_its_input_changes_nothing():
    x = np.random.default_rng(0).random((40, 1, 8, 8), dtype=np.float32)
    given = x.copy()
    weights = torch.linspace(-1, 1, 64 * 3).reshape(64, 3)

    def encode(images):
        z = images.flatten(1) @ weights
        images.zero_()
        return z

    def decode(z):
        out = torch.sigmoid(z @ weights.T).reshape(-1, 1, 8, 8)
        z.fill_(7.0)
        return out

    def pure_encode(images):
        return images.flatten(1) @ weights

    def pure_decode(z):
        return torch.sigmoid(z @ weights.T).reshape(-1, 1, 8, 8)

    names = ("mse", "r2")
    wrote = lb.evaluate(encode, decode, x, metrics=names)
    pure = lb.evaluate(pure_encode, pure_decode, x, metrics=names)
    assert np.array_equal(x, given)
    assert [(r.metric, r.value) for r in wrote.records] == [(r.metric, r.value) for r in pure.records]


@pytest.mark.parametrize(
    "name", ["judge", " judge ", "floor:black", "\tnull:x", "ceiling:real", "check:self", "a\x1bb", "", "\n"]
)
def test_reserved_names_are_refused_at_every_door(name, capsys):
    with pytest.raises(ValueError, match="name"):
        lb.evaluate(abs, abs, np.zeros((40, 8, 8)), name=name)
    assert main(["run", "--dry-run", f"--models={name}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
