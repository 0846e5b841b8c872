"""`latentbench evaluate` from Python files and TorchScript: what it measures is what `lb.evaluate` measures, what it refuses
is refused in one line with exit code 2, and nothing is written. Other libraries' files: test_adapters.py."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from cheats import once_trained

import latentbench as lb
from latentbench.adapters import adapters, load
from latentbench.adapters.known import called, named
from latentbench.cli import main
from latentbench.evaluating import evaluate as evaluating
from latentbench.evaluating.hints import in_form

MODELS = """
import torch
from latentbench.datasets import digits
from latentbench.measuring.baselines import PrincipalComponents

X = digits.load("", "", 0).train.x
pca = PrincipalComponents(X, 8)


class Small:
    def __init__(self, size=4):
        self.inner = PrincipalComponents(X, size)

    def encode(self, x):
        mu = self.inner.encode(x).mu
        return mu, torch.full_like(mu, -2.0)

    def decode(self, z):
        return self.inner.decode(z)


def small():
    return Small()


def asks(size):
    return Small(size)


def fails():
    raise KeyError("no weights")


class Holder:
    inner = Small()


pair = (lambda x: pca.encode(x).mu, pca.decode)
seeds = [Small(4), Small(4)]
several = {"four": Small(4), "five": [Small(5), Small(6)]}
triple = (1, 2, 3)
number = 3
prints = (lambda x: print("loud") or pca.encode(x).mu, pca.decode)
raises = (lambda x: 1 / 0, pca.decode)
signed = (lambda x: pca.encode((x + 1) / 2).mu, lambda z: pca.decode(z) * 2 - 1)
last = (lambda x: pca.encode(x.movedim(3, 1)).mu, lambda z: pca.decode(z).movedim(1, 3))
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluating, "train_judge", once_trained)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "models.py").write_text(MODELS)
    return tmp_path


def tried(capsys, *words, data="digits"):
    code = main(["evaluate", *words, "--dataset", data, "--dry-run", "--json"])
    told = capsys.readouterr()
    assert code == 0, told.err
    return json.loads(told.out)


def refused(capsys, *words):
    before = sorted(lb_files())
    code = main(["evaluate", *words])
    told = capsys.readouterr()
    assert (code, told.out) == (2, ""), told
    assert told.err.startswith("latentbench: ")
    assert len(told.err.splitlines()) == 1
    assert len(told.err) <= 301
    assert sorted(lb_files()) == before
    return told.err


def lb_files():
    from pathlib import Path

    return [str(p) for p in Path().rglob("*") if "__pycache__" not in str(p)]


def test_the_numbers_and_the_page(capsys, here):
    out = here / "page"
    words = [
        "evaluate",
        "models.py:pair",
        "--dataset",
        "digits",
        "--metrics",
        "mse,r2,validity.normal",
        "--out",
        str(out),
    ]
    assert main(words) == 0
    told = capsys.readouterr()
    assert "sample?" in told.out
    assert told.out.splitlines()[-1] == str(out / "report.html")
    assert (out / "report.html").stat().st_size > 10_000
    data = lb.load_dataset("digits")
    own = load("models.py:pair")
    expected = float((own[1](own[0](data.test.x)) - data.test.x).square().mean())
    rows = map(json.loads, (out / "records.jsonl").read_text("utf-8").splitlines())
    [value] = [r["value"] for r in rows if (r.get("model"), r.get("metric"), r.get("split")) == ("pair", "mse", "test")]
    assert value == pytest.approx(expected, rel=1e-5)
    assert main(words) == 2, "an older result is never overwritten"
    assert "not an empty folder" in capsys.readouterr().err


def test_seeds_names_and_json(capsys, here):
    words = [
        "a=models.py:small",
        "a=models.py:small",
        "b=models.py:seeds",
        "--dataset",
        "digits",
        "--metrics",
        "mse",
        "--json",
    ]
    assert main(["evaluate", *words, "--seed", "3"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["status"] == "finished"
    assert row["folder"] == "reports/evaluate-a-b"
    cells = {(c["model"], c["seed"]) for c in row["cells"]}
    assert {("a", 3), ("a", 4), ("b", 3), ("b", 4)} <= cells
    mean = {a["model"]: a for a in row["aggregates"] if a["metric"] == "mse" and a["split"] == "test"}
    assert mean["a"]["n"] == mean["b"]["n"] == 2
    assert main(["evaluate", *words]) == 0, "a second time, beside the first"
    assert json.loads(capsys.readouterr().out)["folder"] == "reports/evaluate-a-b-2"


@pytest.mark.parametrize(
    ("spec", "sizes"),
    [
        ("models.py:pair", {("pair", 0): [8]}),
        ("models.py:small", {("small", 0): [4]}),
        ("models.py:Small", {("Small", 0): [4]}),
        ("models.py:Holder.inner", {("Holder.inner", 0): [4]}),
        ("mine=models.py:seeds", {("mine", 0): [4], ("mine", 1): [4]}),
        ("models.py:several", {("four", 0): [4], ("five", 0): [5], ("five", 1): [6]}),
        ("models:pca", {("pca", 0): [8]}),
    ],
)
def test_what_a_python_object_may_be(capsys, spec, sizes):
    sys.modules.pop("models", None)
    found = tried(capsys, spec)["models"]
    assert {(m["name"], m["seed"]): m["latent"] for m in found} == sizes
    sys.modules.pop("models", None)


def test_each_model_gets_images_in_its_own_form():
    """By a hint of its adapter, or by an option; what is measured is the same."""
    data = lb.load_dataset("digits")
    plain, signed, last = (load(f"models.py:{name}") for name in ("pair", "signed", "last"))
    models = {
        "plain": plain,
        "signed": in_form(signed, "", range=(-1.0, 1.0)),
        "last": in_form(last, "", layout="channels_last"),
    }
    result = lb.evaluate(models, x_test=data, metrics="mse", quiet=True)
    for name in ("signed", "last"):
        assert result.value("mse", model=name) == pytest.approx(result.value("mse", model="plain"), rel=1e-5)
    bytes_last = (data.test.x * 255).round().byte().movedim(1, 3).numpy()
    result = lb.evaluate({k: models[k] for k in ("signed", "last")}, x_test=bytes_last, metrics="mse", quiet=True)
    plain_mse = float((plain[1](plain[0](data.test.x)) - data.test.x).square().mean())
    assert result.value("mse", model="signed") == pytest.approx(plain_mse, rel=0.02), "rounded to bytes"


def test_options_say_the_form(capsys):
    row = tried(capsys, "models.py:signed", "--range", "-1,1")["models"][0]
    assert (row["sample"], row["given"]) == ([1, 8, 8], [-1.0, 1.0])
    row = tried(capsys, "models.py:last", "--layout", "channels_last")["models"][0]
    assert (row["sample"], row["given"]) == ([8, 8, 1], [0.0, 1.0])


def test_a_dry_run_says_what_was_understood_and_writes_nothing(capsys):
    row = tried(capsys, "models.py:pair", "models.py:small")
    assert row["data"]["space"] == "image"
    assert row["data"]["shape"] == [1, 8, 8]
    assert set(row["data"]["rows"]) == {"train", "val", "test"}
    assert [m["posterior"] for m in row["models"]] == ["points", "Gaussian posterior"]
    assert main(["evaluate", "models.py:small", "--dataset", "digits", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "latent (4,)" in told
    assert not [p for p in lb_files() if "report" in p]


def test_what_callables_print_is_no_answer(capsys):
    assert main(["evaluate", "models.py:prints", "--dataset", "digits", "--dry-run", "--json"]) == 0
    told = capsys.readouterr()
    json.loads(told.out)
    assert "loud" in told.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["models.py:pari"], "unknown name 'pari'; did you mean 'pair'?"),
        (["nope.py:pair"], "there is no file nope.py"),
        (["models.py:number"], "int is not a model"),
        (["models.py:triple"], "a tuple of 3"),
        (["models.py:asks"], "function is not a model"),
        (["models.py:fails"], "KeyError: 'no weights' (models.py, line "),
        (["models.py:raises"], "division by zero"),
        (["models.py"], "write FILE.py:NAME"),
        (["pythea:DIR"], "did you mean 'pythae:DIR'?"),
        (["torchscript:nope.pt"], "there is no file nope.pt"),
        (["torchscript:models.py"], "is no TorchScript archive"),
        (["torchscript:a,b,c"], "3 files are named"),
        (["torchscript:"], "needs FILE[,FILE]"),
        (["models.py:small", "models.py:small"], "two models would be called 'small'"),
        (["judge=models.py:small"], "name: 'judge' is not allowed"),
        (["floor=models.py:small", "--name", "x"], "either by --name"),
        (["models.py:small", "--name", "floor:x"], "name: 'floor:x' is not allowed"),
        (["a=models.py:small", "--name", "b"], "either by --name or as NAME=MODEL"),
        (["models.py:small", "--name", "a", "--name", "b"], "2 names for 1 models"),
        (["models.py:small", "--metrics", "msee"], "did you mean 'mse'?"),
        (["models.py:small", "--range", "1,0"], "the lower first"),
        (["models.py:small", "--range", "1"], "write LOW,HIGH"),
        (["models.py:small", "--layout", "channels_lost"], "did you mean 'channels_last'?"),
        (["models.py:small", "--scale", "nome"], "did you mean 'none'?"),
        (["models.py:small", "--scale", "standard"], "is measured as it is"),
        (["models.py:small", "--batch-size", "0"], "batch-size: '0' is not allowed"),
        (["models.py:small", "--device", "gpu"], "device: 'gpu' is not allowed"),
        (["models.py:small", "--lang", "xx"], "lang: 'xx' is not allowed"),
        (["models.py:small", "--seed", "-1"], "seeds: '-1,' is not allowed"),
        (["models.py:small", "--sacle", "none"], "did you mean '--scale'?"),
        (["models.py:small", "--out", ""], "it names no file"),
    ],
)
def test_refusals(capsys, words, says):
    assert says in refused(capsys, *words, "--dataset", "digits")


def test_an_unknown_dataset_and_a_missing_one(capsys):
    assert "did you mean 'digits'?" in refused(capsys, "models.py:small", "--dataset", "digts")
    assert "missing option '--dataset'" in refused(capsys, "models.py:small")


@pytest.mark.parametrize("name", ["pythae", "diffusers", "onnx", "keras", "scvi"])
def test_a_missing_package_is_named_with_the_line_that_installs_it(capsys, monkeypatch, name):
    import importlib.util

    adapter = adapters()[name]
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == adapter.package else find(n, *a))
    told = refused(capsys, f"{name}:whatever", "--dataset", "digits")
    assert f"needs the package {adapter.package}, which is not installed: {adapter.install}" in told


def test_list_adapters(capsys):
    assert main(["list", "adapters"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [r[0] for r in rows] == sorted("pythae diffusers onnx torchscript keras scvi".split())
    assert all(len(r) == 4 for r in rows)
    assert all(r[2].startswith(f"{r[0]}:") for r in rows)


def test_torchscript_of_one_file_and_of_two(capsys, here):
    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.up = torch.nn.Linear(64, 3), torch.nn.Linear(3, 64)

        @torch.jit.export
        def encode(self, x: torch.Tensor) -> torch.Tensor:
            return self.down(x.flatten(1))

        @torch.jit.export
        def decode(self, z: torch.Tensor) -> torch.Tensor:
            return self.up(z).reshape(-1, 1, 8, 8)

    one = Both().eval()
    torch.jit.script(one).save("both.pt")
    torch.jit.script(torch.nn.Sequential(torch.nn.Flatten(), one.down)).save("encoder.pt")
    torch.jit.script(torch.nn.Sequential(one.up, torch.nn.Unflatten(1, (1, 8, 8)))).save("decoder.pt")
    row = tried(capsys, "torchscript:both.pt", "torchscript:encoder.pt,decoder.pt")
    assert [(m["name"], m["latent"]) for m in row["models"]] == [("both", [3]), ("encoder", [3])]
    x = lb.load_dataset("digits").test.x[:5]
    for spec in ("torchscript:both.pt", "torchscript:encoder.pt,decoder.pt"):
        model = load(spec)
        with torch.no_grad():
            torch.testing.assert_close(model.decode(model.encode(x)), one.decode(one.encode(x)), rtol=1e-6, atol=1e-6)
    assert "has no method encode and no decode" in refused(capsys, "torchscript:encoder.pt", "--dataset", "digits")


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("a=b.py:c", ("a", "b.py:c")),
        ("b.py:c", ("", "b.py:c")),
        ("my vae=pythae:runs/x=1", ("my vae", "pythae:runs/x=1")),
        ("pythae:runs/x=1", ("", "pythae:runs/x=1")),
        ("runs/a=1/b.py:c", ("", "runs/a=1/b.py:c")),
    ],
)
def test_a_name_before_a_spec(text, pair):
    assert named(text) == pair


@pytest.mark.parametrize(
    ("spec", "name"),
    [("b.py:vae", "vae"), ("pythae:runs/one", "one"), ("onnx:x/enc.onnx,dec.onnx", "enc"), ("scvi:cells,400", "cells")],
)
def test_a_model_without_a_name_is_called_after_what_it_lies_in(spec, name):
    assert called(spec) == name
