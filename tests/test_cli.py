"""The command line: every wrong input is one line on standard error, exit code 2, and nothing on disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import webbrowser
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_run import build

from latentbench import __version__, catalog, records
from latentbench.catalog import datasets
from latentbench.cli.app import main
from latentbench.config import Run, make_run
from latentbench.metrics import flow_matching
from latentbench.running import assemble, execute, manifest, plan
from latentbench.running.reuse import Reused


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


WRONG = [
    (["run", "--models", "aee"], ["aee", "did you mean 'ae'"]),
    (["run", "--models", "vae:bta=4"], ["bta", "did you mean 'beta'"]),
    (["run", "--models", "vae:beta=four"], ["beta", "four"]),
    (["run", "--models", "vae:beta=-1"], ["beta", "-1"]),
    (["run", "--models", "ae,ae"], ["twice"]),
    (["run", "--models", "ae:net=conv:depth=9"], ["depth"]),
    (["run", "--models"], ["--models"]),
    (["run", "--dataset", "digit"], ["digit", "did you mean 'digits'"]),
    (["run", "--dataset", "npz:none.npz"], ["none.npz", "no such file"]),
    (["run", "--metrics", "tortuosity"], ["tortuosity", "did you mean 'path.tortuosity'"]),
    (["run", "--modls", "ae"], ["--modls", "did you mean '--models'"]),
    (["run", "--epochs", "0"], ["epochs", "0", "1"]),
    (["run", "--epochs", "many"], ["epochs", "many"]),
    (["run", "--lr", "-1"], ["lr", "-1"]),
    (["run", "--seeds", "5-2"], ["seeds", "5-2"]),
    (["run", "--latent-dim", "0"], ["latent_dim", "0"]),
    (["run", "--study", "quik"], ["quik", "did you mean 'quick'"]),
    (["run", "--config", "none.toml"], ["none.toml"]),
    (["run", "extra"], ["extra"]),
    (["rnu"], ["rnu", "did you mean 'run'"]),
    (["run", "--reuse", "nowhere"], ["reuse: nowhere", "there is no such folder"]),
    (["run", "--reuse"], ["--reuse"]),
    (["measure", "nowhere"], ["measure: nowhere", "not a finished run's folder", "does not exist"]),
    (["measure"], ["missing argument", "DIR"]),
    (["measure", "nowhere", "--epochs", "3"], ["--epochs"]),
    (["list", "modles"], ["modles", "did you mean 'models'"]),
    (["report", "nowhere"], ["nowhere"]),
    (["report"], ["missing argument", "DIR"]),
    (["run", "--models", "vae:kl=ful"], ["'ful'", "did you mean 'full'"]),
    (["run", "--models", "vae:beta=nan"], ["beta", "nan"]),
    (["run", "--models", "no_such_module.here:Model"], ["no_such_module"]),
    (["run", "--models", "mse:"], ["mse:"]),
    (["run", "--models", "ae,baseline:MyModel"], ["baseline:MyModel", "'baseline:' is reserved", "allowed: any name"]),
    (["run", "--models", "judge"], ["'judge' is reserved", "allowed: any name but 'judge'"]),
    (["run", "--seeds", "a-b"], ["seeds", "a-b"]),
    (["run", "--seeds", "1,1"], ["seeds", "twice"]),
    (["run", "--seeds=-3"], ["seeds", "-3"]),
    (["run", "--batch-size", "1"], ["batch_size", "1", "2"]),
    (["run", "--depth", "17"], ["depth", "17", "16"]),
    (["run", "--lr", "nan"], ["lr", "nan"]),
    (["run", "--device", "gpu"], ["device", "gpu", "auto"]),
    (["run", "--workers", "0"], ["workers", "0"]),
    (["run", "--out", ""], ["out"]),
    (["run", "--json=yes"], ["--json"]),
    (["run", "-x"], ["-x"]),
    (["run", "--dataset", "npz"], ["npz:PATH"]),
    (["run", "--dataset", "digits:3"], ["digits", "3"]),
    (["run", "--dataset", "mnist", "--data-root", "nowhere"], ["train-images-idx3-ubyte", "nowhere", "--data-root"]),
    (["run", "--metrics", "paths.*"], ["paths.*"]),
    (["run", "--save-config", "no/such/folder.toml"], ["no/such/folder.toml", "No such file"]),
    (["--modles"], ["--modles"]),
    (["list"], ["models|datasets|metrics|studies"]),
    (["list", "models", "metrics"], ["metrics"]),
    (["report", "--out"], ["--out"]),
]


def refusal(words: list[str], capsys) -> str:
    """What the program says on standard error when it refuses, in one line, these words."""
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("latentbench: ")
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize(("words", "said"), WRONG, ids=lambda v: " ".join(v)[:40])
def test_wrong_input(words, said, capsys, empty_folder, no_network):
    err = refusal(words, capsys)
    for word in said:
        assert word in err
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("modles = ['ae']", ["modles", "did you mean 'models'"]),
        ("batch-size = 3", ["batch-size", "did you mean 'batch_size'"]),
        ("json_output = true", ["json_output", "did you mean 'json'"]),
        ("depth = true", ["depth", "true"]),
        ("depth = 1.5", ["depth", "1.5"]),
        ("quiet = 'perhaps'", ["quiet", "perhaps"]),
        ("models = [1]", ["models", "1"]),
        ("[run]\ndepth = 1", ["unknown option 'run'"]),
        ('"a\\nb" = 1', ["unknown option"]),
        ("depth = 1\nlr = -1\nepochs = 0", ["lr", "epochs"]),
        ("depth = ", ["c.toml", "not TOML"]),
    ],
)
def test_wrong_config(content, said, capsys, empty_folder):
    Path("c.toml").write_text(content)
    err = refusal(["run", "--config", "c.toml"], capsys)
    for word in said:
        assert word in err
    assert [p.name for p in empty_folder.iterdir()] == ["c.toml"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_no_cuda(capsys, empty_folder):
    assert main(["run", "--device", "cuda"]) == 2
    assert "cuda" in capsys.readouterr().err
    assert list(empty_folder.iterdir()) == []


X = np.random.default_rng(0).random((120, 6, 6))
Y = np.arange(120) % 3


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": np.where(np.arange(36).reshape(6, 6) == 7, np.nan, X)}, "NaN"),
        ({"one": X, "two": X}, "x=NAME"),
        ({"x": X[:, :, :3, None]}, "not images"),
        ({"x": X * 3 - 1}, "[0, 1]"),
        ({"x": X[:60], "y": Y[:60]}, "at least 120"),
        ({"x": X, "y": Y[1:]}, "one label a sample"),
        ({"x": np.full(120, None)}, "Python objects"),
    ],
)
def test_data_that_cannot_be_used(arrays, said, capsys, empty_folder):
    np.savez("own.npz", **arrays)
    assert said in refusal(["run", "--dataset", "npz:own.npz"], capsys)
    assert [p.name for p in empty_folder.iterdir()] == ["own.npz"]


def test_a_split_of_copies_alone_is_refused(capsys, empty_folder):
    np.savez("own.npz", x=np.tile(X[:9], (20, 1, 1)))
    err = refusal(["run", "--dataset", "npz:own.npz", "--dedupe"], capsys)
    assert "dedupe: without copies the training split of 'own.npz' keeps 9 of 108 images; at least 20" in err
    assert [p.name for p in empty_folder.iterdir()] == ["own.npz"]


def test_used_and_unwritable_folders(capsys, empty_folder):
    Path("used").mkdir()
    Path("used/mine.txt").write_text("mine")
    assert "used is not an empty folder" in refusal(["run", "--out", "used"], capsys)
    assert os.listdir("used") == ["mine.txt"]
    Path("file").write_text("a file")
    assert "cannot write to file/below" in refusal(["run", "--out", "file/below"], capsys)
    assert "file is not an empty folder" in refusal(["run", "--out", "file"], capsys)
    assert Path("file").read_text() == "a file"
    assert sorted(p.name for p in empty_folder.iterdir()) == ["file", "used"]


def test_a_folder_that_holds_a_run_is_never_overwritten(capsys, empty_folder):
    run = plan.plan(make_run({"seeds": 1})).run
    Path("o").mkdir()
    state = {"id": run.id, "status": "unfinished"}
    Path("o/run.json").write_text(json.dumps(state))
    assert "holds another run" in refusal(["run", "--models", "ae", "--seeds", "2", "--out", "o"], capsys)
    assert json.loads(Path("o/run.json").read_text()) == state
    assert os.listdir("o") == ["run.json"]


def test_an_unfinished_run_names_resume(capsys, monkeypatch, empty_folder):
    run = plan.plan(make_run({"seeds": 2})).run
    Path("o").mkdir()
    Path("o/run.json").write_text(json.dumps({"id": run.id, "status": "unfinished"}))
    assert "--resume" in refusal(["run", "--seeds", "2", "--out", "o"], capsys)
    assert os.listdir("o") == ["run.json"]


def test_no_traceback_from_the_real_program(empty_folder):
    root = str(Path(main.__globals__["__file__"]).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    for words in (["run", "--models", "aee"], ["run", "--dataset", "npz:none.npz"]):
        done = subprocess.run(
            [sys.executable, "-m", "latentbench", *words], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_help_and_version(capsys):
    assert main(["--help"]) == 0
    helped = capsys.readouterr().out
    assert all(command in helped for command in ("run", "report", "list"))
    assert main([]) == 0
    assert capsys.readouterr().out.splitlines()[0] == helped.splitlines()[0]
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"latentbench {__version__}\n"


def test_every_field_of_run_is_an_option_with_its_description(capsys):
    assert main(["run", "--help"]) == 0
    helped = " ".join(capsys.readouterr().out.split())
    for name, field in Run.model_fields.items():
        assert f"--{(field.alias or name).replace('_', '-')} " in helped
        assert field.description.split(",")[0] in helped
    for option in ("--config", "--save-config"):
        assert f"{option} FILE" in helped


@pytest.mark.parametrize(
    ("kind", "name"), [("models", "vae"), ("datasets", "npz"), ("metrics", "hole"), ("studies", "quick")]
)
def test_lists_are_tab_separated_off_a_terminal_with_the_bare_name_first(capsys, kind, name):
    assert main(["list", kind]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert {len(row) for row in rows} == {4}
    names = [row[0] for row in rows]
    assert name in names
    assert not any(set(n) & set(" :=") for n in names)
    assert all(row[1] for row in rows)


def test_lists_name_parameters_and_sources(capsys):
    main(["list", "models"])
    rows = {line.split("\t")[0]: line.split("\t") for line in capsys.readouterr().out.splitlines()}
    assert "beta=1.0" in rows["vae"][2]
    assert "Kingma" in rows["vae"][3]
    main(["list", "datasets"])
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("npz:PATH", "folder:PATH", "lines", "shapes"))


def test_the_list_of_metrics_marks_those_on_request(capsys, monkeypatch):
    mse = catalog.metrics()["mse"]
    monkeypatch.setattr(catalog, "metrics", lambda: {"mse": mse, "dear": replace(mse, name="dear", on_request=True)})
    assert main(["list", "metrics"]) == 0
    cheap, dear = capsys.readouterr().out.splitlines()
    assert "on request" not in cheap
    assert "better: lower, on request)" in dear


def test_lists_are_a_table_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert main(["list", "studies"]) == 0
    out = capsys.readouterr().out
    assert "\t" not in out
    assert all(header in out for header in ("name", "what it is", "parameters"))


def test_a_reader_that_goes_away_is_no_error(empty_folder):
    root = str(Path(main.__globals__["__file__"]).parents[2])
    done = subprocess.run(
        f"{sys.executable} -m latentbench list studies | true; echo ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root},
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("0", "")


def test_warnings_are_a_line_each_and_refuse_nothing(capsys, empty_folder):
    assert main(["run", "--dry-run", "--latent-dim", "100", "--seeds", "1"]) == 0
    out, err = capsys.readouterr()
    assert "2 cells" in out
    lines = err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("latentbench: note: ") for line in lines)
    assert "overcomplete" in lines[0]


def test_dry_run(capsys, empty_folder, monkeypatch):
    assert main(["run", "--dry-run", "--seeds", "2", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert len(row["cells"]) == 4
    assert row["expected_cpu_seconds"] > 0
    assert list(empty_folder.iterdir()) == []
    monkeypatch.setattr(flow_matching, "STEPS", 3000)
    flows = ["--metrics", "default,validity.flow,judge_frechet.flow"]
    assert main(["run", "--dry-run", "--seeds", "2", "--json", *flows]) == 0
    more = json.loads(capsys.readouterr().out)["expected_cpu_seconds"] - row["expected_cpu_seconds"]
    assert 8 < more < 100  # four flows of some seconds


def test_dry_run_says_what_was_trained_before(capsys, empty_folder):
    settings = {"models": "ae", "seeds": 2, "out": "o"}
    train = [p for p in plan.plan(make_run(settings)).parts if p.kind == "train"]
    unit = Path("o/artifacts/train-0")
    unit.mkdir(parents=True)
    manifest.write(unit, manifest.here("cpu"), [(train[0], [])])
    words = ["run", "--dry-run", "--models", "ae,vae", "--seeds", "2", "--reuse", "o"]
    assert main([*words, "--reuse", "o"]) == 0
    assert "4 cells (1 of them trained before), up to " in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reused"] == 1
    Path("c.toml").write_text("reuse = 'o'\nmodels = 'ae'\ndry_run = true\n")
    assert main(["run", "--config", "c.toml"]) == 0
    assert "(1 of them trained before)" in capsys.readouterr().out


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_what_was_reused_is_said_in_one_line(capsys, instead, finished, lang):
    Path("o/artifacts").mkdir(parents=True)
    instead(lambda *_, **__: replace(outcome(finished), reused=Reused(4, 12, 300, 420)))
    for words, said in ((["--reuse", "o"], True), ([], False), (["--reuse", "o", "--quiet"], False)):
        assert main(["run", "--lang", lang, *words]) == 0
        err = capsys.readouterr().err
        assert ("latentbench: reused 4 of 12 trained models, 300 of 420 measures" in err.splitlines()) == said


def saved(*words: str) -> dict[str, object]:
    """The effective configuration of ``run`` with these words."""
    Path("saved.toml").unlink(missing_ok=True)
    assert main(["run", *words, "--save-config", "saved.toml"]) == 0
    return tomllib.loads(Path("saved.toml").read_text())


def test_the_command_line_wins_over_the_file_and_the_file_over_the_study(capsys):
    Path("c.toml").write_text("study = 'quick'\nepochs = 7\nquiet = true\njson = true\n")
    kept = saved("--config", "c.toml")
    assert (kept["study"], kept["seeds"], kept["epochs"], kept["quiet"]) == ("quick", [0, 1], 7, True)
    ours = saved("--config", "c.toml", "--epochs", "8", "--no-quiet", "--seeds", "3-4")
    assert (ours["epochs"], ours["quiet"], ours["json"], ours["seeds"]) == (8, False, True, [3, 4])
    capsys.readouterr()


def test_a_saved_configuration_is_whole_and_asks_the_same_again(capsys, empty_folder):
    kept = saved("--dry-run", "--resume", "--models", "vae:beta=4")
    assert {**kept, **datasets()["digits"].defaults} == kept  # what the data asks for, where the user says nothing
    assert kept["latent_dim"] == 8
    assert (kept["dry_run"], kept["resume"]) == (False, False)  # what belongs to one call only
    again = plan.plan(make_run(kept)).run
    assert again.id == plan.plan(make_run({"models": "vae:beta=4"})).run.id
    assert [p.name for p in empty_folder.iterdir()] == ["saved.toml"]
    capsys.readouterr()


def test_a_saved_configuration_overwrites_nothing_else(capsys):
    Path("mine.toml").write_text("mine = 1\n")
    assert "mine.toml exists" in refusal(["run", "--save-config", "mine.toml"], capsys)
    assert Path("mine.toml").read_text() == "mine = 1\n"
    saved()
    assert main(["run", "--save-config", "saved.toml"]) == 0


def test_a_configuration_that_cannot_run_is_not_saved(capsys, empty_folder):
    assert "did you mean 'vae'" in refusal(["run", "--models", "vea", "--save-config", "c.toml"], capsys)
    assert list(empty_folder.iterdir()) == []


def outcome(folder: Path, failed: int = 0) -> assemble.Outcome:
    rows = records.read(folder / "records.jsonl")
    return assemble.Outcome(folder, folder / "report.html", rows, failed)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run folder as the report finds it, of records made up."""
    return build(tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture
def instead(monkeypatch):
    """Put a function in the place of `execute.execute`."""
    return lambda function: monkeypatch.setattr(execute, "execute", function)


def test_interrupted_says_how_to_carry_on(capsys, instead):
    def stop(*_: object, **__: object) -> None:
        raise execute.Interrupted("latentbench run --seeds 3 --resume")

    instead(stop)
    assert main(["run", "--seeds", "3"]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "latentbench: interrupted; carry on with: latentbench run --seeds 3 --resume\n"


def test_ctrl_c_before_anything_is_written(capsys, instead):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    instead(stop)
    assert main(["run"]) == 130
    assert capsys.readouterr().err == "latentbench: interrupted\n"


def test_a_full_disk_is_one_line(capsys, instead):
    def stop(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "o/records.jsonl")

    instead(stop)
    assert "o/records.jsonl: No space left on device" in refusal(["run"], capsys)


def test_a_refusal_of_many_lines_is_one_line(capsys, instead):
    def stop(*_: object, **__: object) -> None:
        raise ValueError("first\n  second\r\nthird")

    instead(stop)
    assert refusal(["run"], capsys) == "latentbench: first second third\n"


def test_an_error_of_the_programs_own_is_not_hidden(instead, capsys):
    """It is no verdict, which would be 1, and its traceback is there."""

    def broken(*_: object, **__: object) -> None:
        raise TypeError("a bug")

    instead(broken)
    assert main(["run"]) == 70
    assert "TypeError: a bug" in capsys.readouterr().err


def test_some_failed_cells_exit_with_3(capsys, instead, finished):
    bad = records.Record(model="vae", seed=1, metric="mse", status="failed", reason="the loss is NaN in epoch 3")
    instead(lambda *_, **__: replace(outcome(finished, 1), records=[*outcome(finished).records, bad]))
    assert main(["run", "--quiet"]) == 3
    out, err = capsys.readouterr()
    assert "failed: vae seed 1: the loss is NaN in epoch 3" in err
    assert out == f"{finished / 'report.html'}\n"


def test_what_a_finished_run_prints(capsys, instead, finished):
    instead(lambda *_, **__: outcome(finished))
    assert main(["run"]) == 0
    out, err = capsys.readouterr()
    assert [line for line in err.splitlines() if not line.startswith("latentbench: failed: vae seed 5")] == []
    lines = out.splitlines()
    assert lines[-1] == str(finished / "report.html")
    rows = [line for line in lines if line.startswith(("model ", "ae ", "vae "))]
    heads = [k for k, line in enumerate(rows) if line.startswith("model ")]
    assert len(heads) == 2  # the answers, and the scores
    for table in (rows[: heads[1]], rows[heads[1] :]):
        assert len(table) >= 3
        assert len({len(line) for line in table}) == 1  # columns stand under one another
    assert main(["run", "--quiet"]) == 0
    assert capsys.readouterr().out == f"{finished / 'report.html'}\n"


def test_what_a_finished_run_prints_on_a_terminal(capsys, instead, finished, monkeypatch):
    instead(lambda *_, **__: outcome(finished))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["run"]) == 0
    out = capsys.readouterr().out
    assert "tortuosity" in out
    assert str(finished / "report.html") in out


def test_json_is_all_there_is_on_standard_output(capsys, instead, finished):
    instead(lambda *_, **__: outcome(finished))
    assert main(["run", "--json"]) == 0
    row = json.loads(capsys.readouterr().out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert (row["folder"], row["report"]) == (str(finished), str(finished / "report.html"))
    assert row["status"] == "finished"
    assert {(c["model"], c["status"]) for c in row["cells"]} >= {("ae", "ok"), ("vae", "ok")}
    means = {(a["model"], a["metric"], a["split"]): a for a in row["aggregates"]}
    r2 = means["vae", "r2", "test"]
    assert r2["low"] < r2["mean"] < r2["high"]
    assert r2["n"] >= 2
    assert {v["question"] for v in row["verdicts"]} >= {"continuous", "complete"}


def test_progress_is_asked_for_where_nothing_speaks_against_it(capsys, instead, finished):
    seen = []

    def look(run: Run, words: list[str], progress: bool, *_: object) -> assemble.Outcome:
        seen.append((words, progress))
        return outcome(finished)

    instead(look)
    for more in ([], ["--quiet"], ["--json"]):
        main(["run", *more])
    assert seen == [(["run"], True), (["run", "--quiet"], False), (["run", "--json"], False)]


def test_open_hands_the_page_to_the_browser(capsys, instead, finished, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    instead(lambda *_, **__: outcome(finished))
    assert main(["run", "--quiet", "--open"]) == 0
    assert opened == [(finished / "report.html").as_uri()]


def test_report_needs_no_torch(finished):
    root = str(Path(main.__globals__["__file__"]).parents[2])
    code = f"""
import sys
sys.modules["torch"] = None  # importing it fails
from latentbench.cli.app import main
sys.exit(main(["report", {str(finished)!r}]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root}
    )
    assert (done.returncode, done.stdout.strip()) == (0, str(finished / "report.html")), done.stderr
    assert {"report.html", "summary.md", "results.csv"} <= set(os.listdir(finished))


def test_report_of_records_that_cannot_be_read(capsys, empty_folder):
    Path("r").mkdir()
    Path("r/records.jsonl").write_text("{}\n")
    assert "records.jsonl, line 1" in refusal(["report", "r"], capsys)
    Path("r/records.jsonl").write_text('{"schema": 99}\n')
    assert "update latentbench" in refusal(["report", "r"], capsys)
    assert os.listdir("r") == ["records.jsonl"]


def test_a_run_a_report_and_json(capsys, empty_folder):
    words = ["run", "--models", "ae", "--seeds", "1", "--epochs", "1", "--metrics", "mse,r2", "--out", "o"]
    assert main([*words, "--json"]) == 0
    out = capsys.readouterr().out
    row = json.loads(out)
    assert row["status"] == "finished"
    assert Path(row["report"]).exists()
    before = Path("o/records.jsonl").read_bytes()
    assert main([*words, "--quiet"]) == 0
    assert capsys.readouterr().out.strip().endswith("report.html")
    Path("o/report.html").unlink()
    assert main(["report", "o"]) == 0
    assert Path("o/report.html").exists()
    assert Path("o/records.jsonl").read_bytes() == before
    assert main(["report", "o", "o", "--out", "both.html"]) == 0
    assert Path("both.html").exists()
