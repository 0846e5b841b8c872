"""A run, whole and broken off: the same records whatever happened on the way."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import latentbench as lb
from latentbench import api, records
from latentbench.config import make_run
from latentbench.running import plan

SMALL = {
    "models": "ae,vae",
    "seeds": 2,
    "epochs": 3,
    "metrics": "mse,r2,kl,active_units,path.tortuosity",
    "quiet": True,
}


def comparable(folder: Path) -> list[records.Record]:
    """Records without what may differ between equal runs: timings, environment, clock."""
    rows = records.read(folder / "records.jsonl")
    return [replace(r, environment="", detail={} if r.kind == "run" else r.detail) for r in rows if not r.is_timing]


def command(out: Path, *more: str) -> list[str]:
    words = [f"--{k}={v}" for k, v in SMALL.items() if k != "quiet"]
    return [sys.executable, "-m", "latentbench", "run", *words, "--out", str(out), "--quiet", *more]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    lb.run(**SMALL, out=str(out))
    return out


def test_the_folder_holds_what_the_contract_says(undisturbed):
    for name in ("report.html", "records.jsonl", "summary.md", "results.csv", "run.json", "artifacts"):
        assert (undisturbed / name).exists(), name
    assert not [p for p in undisturbed.rglob(".*") if p.name.startswith((".making", ".lock", ".records"))]
    rows = records.read(undisturbed / "records.jsonl")
    head = records.run_record(rows)
    assert (
        head.detail["dataset"]["sizes"] == {"train": 1078, "val": 359, "test": 360}
        or sum(head.detail["dataset"]["sizes"].values()) == 1797
    )
    for r in rows:
        if r.kind == "artifact":
            assert records.file_digest(undisturbed / r.path) == r.sha256
    cells = {(r.model, r.seed) for r in records.values(rows) if r.metric == "mse" and not r.is_reference}
    assert cells == {("ae", 0), ("ae", 1), ("vae", 0), ("vae", 1)}
    assert {r.model for r in rows if r.metric == "r2"} >= {"baseline:mean", "baseline:pca"}
    skipped = [r for r in rows if r.metric == "kl" and r.model == "ae"]
    assert {r.status for r in skipped} == {"skipped"}
    assert all(r.reason for r in skipped)
    with (undisturbed / "results.csv").open() as file:
        columns = csv.DictReader(file).fieldnames
    assert columns[:4] == ["dataset", "model", "params", "latent_dim"]
    assert json.loads((undisturbed / "run.json").read_text())["status"] == "finished"


def test_finished_run_is_left_as_it_is(undisturbed):
    before = (undisturbed / "records.jsonl").read_bytes()
    outcome = api.carry_out(make_run({**SMALL, "out": str(undisturbed)}), ["run"], progress=False)
    assert outcome.finished_before
    assert (undisturbed / "records.jsonl").read_bytes() == before


def test_another_run_never_overwrites(undisturbed, tmp_path):
    with pytest.raises(ValueError, match="holds another run"):
        api.carry_out(make_run({**SMALL, "epochs": 4, "out": str(undisturbed)}), ["run"], progress=False)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="not an empty folder"):
        api.carry_out(make_run({**SMALL, "out": str(tmp_path)}), ["run"], progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("kind", ["train-", "measure-"])
def test_kill_and_resume_gives_the_same_records(undisturbed, tmp_path, kind):
    out = tmp_path / "killed"
    process = subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.time() + 120
    while not list((out / "artifacts").glob(f"{kind}*")) and process.poll() is None and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "report.html").exists(), "killed too late to test anything"
    again = subprocess.run(command(out), capture_output=True, text=True, timeout=300)
    assert again.returncode == 2
    assert "--resume" in again.stderr
    assert len(again.stderr.strip().splitlines()) == 1
    done = subprocess.run(command(out, "--resume"), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    mine = [replace(r, run="") for r in comparable(out)]
    assert mine == [replace(r, run="") for r in comparable(undisturbed)]


def test_a_killed_worker_fails_its_unit_and_no_other(tmp_path):
    """The model of seed 1 ends its own process with SIGKILL, as running out of memory would."""
    (tmp_path / "deadly.py").write_text(
        "import os, signal, torch\n"
        "from latentbench.models.ae import Autoencoder\n"
        "class Deadly(Autoencoder):\n"
        "    def loss(self, x, generator):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    words = [
        "--models",
        "ae,deadly:Deadly",
        "--seeds",
        "1",
        "--epochs",
        "1",
        "--metrics",
        "mse",
        "--out",
        "out",
        "--quiet",
    ]
    words[1] = "ae,deadly.models:Deadly"
    (tmp_path / "deadly").mkdir()
    (tmp_path / "deadly.py").rename(tmp_path / "deadly" / "models.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(lb.__file__).parents[1]), str(tmp_path)])}
    done = subprocess.run(
        [sys.executable, "-m", "latentbench", "run", *words],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    rows = [r for r in records.values(records.read(tmp_path / "out" / "records.jsonl")) if r.metric == "mse"]
    assert {r.status for r in rows if r.model == "ae"} == {"ok"}
    assert {(r.status, "SIGKILL" in r.reason) for r in rows if "Deadly" in r.model} == {("failed", True)}


def test_a_diverged_seed_is_a_failed_record(tmp_path):
    """A decoder variance of 1e-50 makes the first loss infinite in float32."""
    spec = "vae:sigma=1e-25"
    result = lb.run(models=f"ae,{spec}", seeds=1, epochs=1, metrics="mse", out=str(tmp_path / "o"), quiet=True)
    rows = [r for r in result.records if r.metric == "mse" and r.split == "test"]
    assert {r.status for r in rows if r.model == "ae"} == {"ok"}
    assert {(r.status, "diverged" in r.reason) for r in rows if r.model == spec} == {("failed", True)}


def test_interrupt_exits_130_with_the_line_that_resumes(tmp_path):
    out = tmp_path / "interrupted"
    endless = command(out, "--epochs=100000", "--patience=0")  # it must not be over before it is interrupted
    process = subprocess.Popen(
        endless, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        # Tests that run in the background of a shell ignore Ctrl-C, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        while not (out / "run.json").exists() and process.poll() is None:
            time.sleep(0.02)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()  # an endless run must not outlive a test that failed
    assert process.returncode == 130
    assert stderr.strip().splitlines()[-1].endswith("--resume")
    assert "Traceback" not in stderr


def test_load_brings_a_model_back(undisturbed):
    model = lb.load(undisturbed, model="vae", seed=1)
    from latentbench.datasets import digits

    data = digits.load("", "", 0)
    error = float((model.decode(model.encode(data.test.x).mu) - data.test.x).square().mean())
    rows = records.read(undisturbed / "records.jsonl")
    row = next(r for r in rows if (r.model, r.seed, r.metric, r.split) == ("vae", 1, "mse", "test"))
    assert error == pytest.approx(row.value, rel=1e-5)
    with pytest.raises(ValueError, match="no trained model 'vea'"):
        lb.load(undisturbed, model="vea")
    with pytest.raises(ValueError, match="nowhere is not a finished run's folder: it does not exist"):
        lb.load(undisturbed / "nowhere", model="vae")


def test_data_without_labels_runs_and_says_what_it_skips(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=rng.random((150, 6, 6)).astype("float32"))
    result = lb.run(models="ae", dataset=f"npz:{tmp_path}/x.npz", seeds=1, epochs=1,
                    metrics="mse,validity.normal,probe.linear", out=str(tmp_path / "o"), quiet=True)  # fmt: skip
    reasons = {r.metric: r.reason for r in result.records if r.status == "skipped" and r.model == "ae"}
    assert "no labels" in reasons["validity.normal"]
    assert "no labels" in reasons["probe.linear"]


def test_changed_data_is_another_run(tmp_path):
    options = {
        "models": "ae",
        "dataset": f"npz:{tmp_path}/x.npz",
        "seeds": 1,
        "epochs": 1,
        "metrics": "mse",
        "quiet": True,
    }
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=rng.random((150, 6, 6)).astype("float32"))
    lb.run(**options, out=str(tmp_path / "o"))
    np.savez(tmp_path / "x.npz", x=rng.random((150, 6, 6)).astype("float32"))
    with pytest.raises(ValueError, match="has changed"):
        lb.run(**options, out=str(tmp_path / "o"))


def test_plan_needs_no_folder_and_names_its_cells():
    planned = plan.plan(make_run({"models": "ae", "seeds": "3-4"}))
    assert planned.cells == (("ae", 3), ("ae", 4))
    assert planned.run.latent_dim == 8
    keys = {u.key for u in planned.units}
    assert len(keys) == len(planned.units)
    other = plan.plan(make_run({"models": "ae", "seeds": "3-4", "metrics": "mse"}))
    trains = [{u.key for u in p.units if u.kind == "train"} for p in (planned, other)]
    assert trains[0] == trains[1], "another choice of metrics trains nothing again"


def test_overcomplete_is_a_warning():
    planned = plan.plan(make_run({"models": "ae", "seeds": 1, "latent_dim": 64}))
    assert any("overcomplete" in w for w in planned.warnings)
