"""What is said while a run is under way: lines without a terminal, bars on one, nothing where nothing was asked for."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from latentbench.cli.app import main
from latentbench.config import make_run
from latentbench.running import progress
from latentbench.running.plan import plan
from latentbench.running.progress import Doing, Lines, duration, progress_bars

TINY = {"models": "ae,vae", "seeds": 4, "epochs": 50, "metrics": "r2,mse", "cache": False}


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    return plan(make_run({**TINY, "out": str(tmp_path_factory.mktemp("p") / "run")})).units


def of(units, kind, model=""):
    return [u for u in units if u.kind == kind and (not model or [m.text for m in u.models] == [model])]


def epoch(unit, seed, n, epochs=50):
    cell = {"model": unit.models[0].text, "seed": seed, "epoch": n, "epochs": epochs, "loss": 21.375, "val": 22.5}
    return {"progress": cell}


def test_a_line_as_each_stage_ends(units):
    lines: list[str] = []
    heard = Lines(units, lines.append, verbose=False).heard
    trains = of(units, "train", "ae")
    assert len(trains) > 1  # several units are one stage
    for unit in trains:
        heard({"begun": unit.folder})
        for seed in unit.seeds:
            heard(epoch(unit, seed, 50))
        assert lines == []
        heard({"unit": unit.folder, "reason": ""})
    stages = len({(u.kind, *(m.text for m in u.models)) if len(u.models) == 1 else (u.kind,) for u in units})
    assert [line.partition("; about")[0] for line in lines] == [f"1 of {stages}: training ae"]
    for unit in units:
        heard({"begun": unit.folder})
        heard({"unit": unit.folder, "reason": ""})
    assert len(lines) == stages
    assert lines[-1].startswith(f"{stages} of {stages}: ")
    assert "left" not in lines[-1]


def test_what_stopped_early_is_said_and_what_diverged_is_not_called_so(units):
    unit = of(units, "train", "vae")[0]
    doing = Doing(units)
    doing.heard({"begun": unit.folder})
    for k, seed in enumerate(unit.seeds):
        doing.heard(epoch(unit, seed, 31 + k))
    assert doing.note(unit).startswith(f"epoch {30 + len(unit.seeds)} of at most 50, loss 21.38, validation 22.5")
    assert doing.title(unit).startswith("training vae, seed")
    assert doing.stopped(unit) == f"epochs 31 to {30 + len(unit.seeds)}"
    for seed in unit.seeds:
        doing.heard({"progress": {"model": "vae", "seed": seed, "diverged": True}})
    assert doing.stopped(unit) == ""


def test_a_measuring_step_says_that_training_stopped_early(units):
    train, measure = of(units, "train", "ae")[0], of(units, "measure", "ae")[0]
    doing = Doing(units)
    assert doing.note(measure) == ""
    for seed in train.seeds:
        doing.heard(epoch(train, seed, 12))
    assert doing.note(measure) == "stopped early (epoch 12), measuring"


def test_a_failure_is_said_at_once_with_its_reason(units):
    lines: list[str] = []
    unit = of(units, "train", "ae")[0]
    heard = Lines(units, lines.append, verbose=False).heard
    heard({"unit": unit.folder, "reason": "the worker process died (SIGKILL)"})
    (line,) = lines
    assert "training ae; failed: the worker process died (SIGKILL)" in line
    heard({"unit": "artifacts/of-somebody-else", "reason": ""})
    assert len(lines) == 1


def test_verbose_says_beginnings_ends_and_times(units):
    lines: list[str] = []
    unit = of(units, "train", "ae")[0]
    heard = Lines(units, lines.append, verbose=True).heard
    heard({"begun": unit.folder})
    heard({"unit": unit.folder, "reason": ""})
    assert lines[0].startswith("begun: training ae, seed")
    assert lines[1].startswith(f"1 of {len(units)}: training ae, seed")
    assert " s" in lines[1]


def test_time_left_is_told_once_enough_is_done(units, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    doing = Doing(units)
    assert doing.seconds_left is None
    for unit in units[:-1]:
        now[0] += 10
        doing.heard({"begun": unit.folder})
        doing.heard({"unit": unit.folder, "reason": ""})
    left = doing.seconds_left
    assert left is not None
    assert 0 < left < now[0]
    doing.heard({"unit": units[-1].folder, "reason": ""})
    assert doing.seconds_left == 0


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "1 s"), (40, "40 s"), (180, "3 min"), (7800, "2 h 10 min")])
def test_durations(seconds, said):
    assert duration(seconds) == said


def test_bars_on_a_terminal_name_what_is_under_way(units, monkeypatch):
    screen = io.StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    unit, measure = of(units, "train", "vae")[0], of(units, "measure", "vae")[0]
    with progress_bars(units, True) as listen:
        listen({"begun": unit.folder})
        for seed in unit.seeds:
            listen(epoch(unit, seed, 41))
        listen({"unit": unit.folder, "reason": ""})
        listen({"begun": measure.folder})
    shown = screen.getvalue()
    assert "measuring vae" in shown
    assert f"1 of {len(units)} steps" in shown


def test_silence_where_no_progress_is_asked_for(units, capsys):
    with progress_bars(units, False) as listen:
        listen({"begun": units[0].folder})
        listen({"unit": units[0].folder, "reason": "x"})
    assert capsys.readouterr() == ("", "")


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """An environment whose cache keeps the judge that the first run trains."""
    return {**os.environ, "LATENTBENCH_CACHE": str(tmp_path_factory.mktemp("cache"))}


@pytest.mark.parametrize("more", [[], ["--verbose"], ["--json"], ["--quiet"]])
def test_a_run_without_a_terminal_logs_to_standard_error_alone(tmp_path, judged, more):
    words = [
        "--models",
        "ae",
        "--seeds",
        "1",
        "--epochs",
        "1",
        "--metrics",
        "mse",
        "--out",
        str(tmp_path / "o"),
    ]
    command = [sys.executable, "-m", "latentbench", "run", *words, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=judged)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "one seed gives no interval" not in line]
    if more in (["--json"], ["--quiet"]):
        assert lines == []
        assert done.stdout.startswith("{") == (more == ["--json"])
        return
    assert all(line.startswith("latentbench: ") for line in lines)
    assert any("training ae" in line for line in lines)
    assert any(line.startswith("latentbench: begun: ") for line in lines) == (more == ["--verbose"])
    assert "training ae" not in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--gpu"], "unknown option '--gpu'; did you mean '--device cuda'?"),
        (["run", "--device", "gpu"], "did you mean 'cuda'?"),
        (["measure", "x", "--gpu"], "did you mean '--device cuda'?"),
        (["run", "--learning-rate", "3"], "did you mean '--lr'?"),
        (["run", "-v"], "did you mean '--verbose'?"),
        (["run", "--bathc-size", "3"], "did you mean '--batch-size'?"),
    ],
)
def test_hints_name_what_is_there(words, said, capsys):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert said in err


def test_every_hint_is_an_option_somewhere():
    from latentbench.cli import app

    there = {o for c in app._commands().commands.values() for p in c.params for o in p.opts}
    for right in app.MEANT.values():
        assert right.partition(" ")[0] in there


@pytest.mark.parametrize("command", ["", "run", "measure", "report", "figures", "evaluate", "compare", "gate", "list"])
def test_h_is_help_everywhere(command, capsys):
    texts = []
    for flag in ("-h", "--help"):
        assert main([*command.split(), flag]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert "-h, --help" in texts[0]


def test_help_speaks_the_fields_words(capsys):
    main(["run", "-h"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--epochs N maximum epochs" in text
    assert "--batch-size N batch size" in text
    assert "job I of N of this run only, such as 3/8" in text


def test_completion_for_shells():
    shown = subprocess.run(
        [sys.executable, "-c", "from latentbench.cli.app import main; main(['--show-completion', 'bash'])"],
        capture_output=True, text=True, timeout=60,
        # the shell is the one named, not the one that this was started from: there may be none
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )  # fmt: skip
    assert "_LATENTBENCH_COMPLETE=complete_bash" in shown.stdout

    environment = {
        **os.environ,
        "_LATENTBENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": "latentbench run --ba",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(
        [sys.executable, "-m", "latentbench"], capture_output=True, text=True, timeout=60, env=environment
    )
    assert done.stdout.split() == ["--batch-size"]
