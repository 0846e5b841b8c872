"""Run: every junk setting is a ValueError in one line, a written configuration is the same run again, ids are stable."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from latentbench import config
from latentbench.config import EXECUTION_OPTIONS, Run, execution_options, load_toml, make_run, parse_spec
from latentbench.studies.presets import studies, with_study

OPTIONS = [config.option_name(f) for f in Run.model_fields]

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

scalar = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=4), st.dates()
)
nested = st.recursive(scalar, lambda s: st.lists(s, max_size=3) | st.dictionaries(st.text(max_size=4), s, max_size=2))

name = st.from_regex(r"[a-z][a-z0-9_]{0,6}(:[a-z]{1,4}=[0-9.]{1,3})?", fullmatch=True)
valid = st.fixed_dictionaries(
    {},
    optional={
        "models": st.lists(name, min_size=1, max_size=3, unique=True),
        "dataset": st.sampled_from(["digits", "npz:a b.npz", "npz:C:\\data\\x.npz", 'npz:"quoted".npz']),
        "latent_dim": st.integers(1, 4096),
        "depth": st.integers(0, 16),
        "seeds": st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=4, unique=True),
        "epochs": st.integers(1, 100_000),
        "patience": st.integers(0, 1000),
        "lr": st.floats(1e-12, 10),
        "lr_warmup": st.floats(0, 1),
        "device": st.sampled_from(["auto", "cpu", "cuda"]),
        "metrics": st.lists(name, max_size=3, unique=True),
        "out": st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8),
        "json": st.booleans(),
        "open": st.booleans(),
        "quiet": st.booleans(),
    },
)


@relaxed
@given(st.dictionaries(st.sampled_from(OPTIONS), nested, max_size=4))
def test_junk_is_a_value_error_or_a_run(junk):
    try:
        run = make_run(with_study(junk))
    except ValueError:
        return
    assert make_run(run.model_dump(mode="json", by_alias=True, exclude_none=True)) == run


@relaxed
@given(st.text(max_size=12).filter(lambda key: key not in OPTIONS), nested)
def test_junk_keys_are_value_errors(key, value):
    with pytest.raises(ValueError, match="unknown option"):
        make_run({key: value})


@relaxed
@given(valid)
def test_a_written_configuration_is_the_same_run(tmp_path_factory, asked):
    run = make_run(asked)
    path = tmp_path_factory.mktemp("config") / "run.toml"
    path.write_text(run.to_toml(), encoding="utf-8")
    again = make_run(load_toml(path))
    assert again == run
    assert again.id == run.id


def test_a_written_configuration_explains_every_key():
    lines = Run().to_toml().splitlines()[1:]
    assert len(lines) >= 15
    assert all(" # " in line for line in lines)


def test_defaults_stand_in_run_alone():
    assert make_run({}) == Run()


def test_the_id_is_the_same_in_every_process():
    assert Run().id.startswith("digits-ae-vae-")
    code = "from latentbench.config import Run; print(Run().id)"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert other.stdout.strip() == Run().id


CHANGED = {
    "models": "vae",
    "dataset": "mnist",
    "latent_dim": 3,
    "depth": 1,
    "width": 9,
    "seeds": 2,
    "epochs": 4,
    "patience": 1,
    "batch_size": 16,
    "lr": 0.1,
    "lr_warmup": 0.2,
    "precision": "bfloat16",
    "device": "cpu",
    "metrics": "mse",
    "split_seed": 1,
    "splits": 2,
    "reuse": "elsewhere",
    "cache": False,
    "dedupe": True,
    "data_root": "elsewhere",
    "memory": "1GiB",
    "lang": "zh",
    "out": "here",
    "workers": 3,
    "executor": "cluster",
    "address": "10.0.0.1:6379",
    "shard": "3/16",
    "assemble": True,
    "resume": True,
    "dry_run": True,
    "json": True,
    "quiet": True,
    "verbose": True,
    "open": True,
    "study": "quick",
}


@pytest.mark.parametrize("field", list(Run.model_fields))
def test_the_id_follows_what_changes_a_number_and_nothing_else(field):
    key = config.option_name(field)
    changed = make_run({key: CHANGED[key]})
    assert getattr(changed, field) != getattr(Run(), field)
    assert (changed.id == Run().id) is (field in EXECUTION_OPTIONS)


def test_what_changes_no_number_is_told_by_the_fields_alone():
    """The list is written out here once more, so that marking a field is a decision and not a slip."""
    assert execution_options() == {
        "study", "data_root", "out", "workers", "executor", "resume", "dry_run", "json", "quiet", "verbose", "open", "lang",
        "reuse", "cache", "address", "shard", "assemble",
    }  # fmt: skip


def test_a_worker_is_told_what_changes_a_number_and_where_the_data_lies():
    asked = make_run({**CHANGED, "study": None, "assemble": False})
    told = asked.for_worker()
    assert told.identity == asked.identity
    assert told.data_root == "elsewhere"
    rest = set(EXECUTION_OPTIONS) - {"data_root"}
    assert {name: getattr(told, name) for name in rest} == {name: getattr(Run(), name) for name in rest}


def test_an_id_is_a_plain_folder_name():
    run = make_run({"dataset": "npz:../../etc/passwd", "models": "../x:a=1,pkg.mod:Net"})
    assert set(run.id) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"model": "ae"}, ["unknown option 'model'", "did you mean 'models'"]),
        ({"json_output": True}, ["unknown option 'json_output'", "did you mean 'json'"]),
        ({"depth": "two"}, ["depth", "'two'", "valid integer"]),
        ({"depth": -1}, ["depth", "-1", "greater than or equal to 0"]),
        ({"depth": 1.5}, ["depth", "1.5", "integer"]),
        ({"depth": True}, ["depth", "true", "no switch"]),
        ({"depth": 17}, ["depth", "17", "less than or equal to 16"]),
        ({"latent_dim": 0}, ["latent_dim", "0", "greater than or equal to 1"]),
        ({"lr": "nan"}, ["lr", "nan"]),
        ({"lr": 0}, ["lr", "greater than 0"]),
        ({"lr": float("inf")}, ["lr", "inf"]),
        ({"epochs": 0}, ["epochs", "0"]),
        ({"batch_size": 1}, ["batch_size", "1", "greater than or equal to 2"]),
        ({"device": "gpu"}, ["device", "'gpu'", "'auto', 'cpu' or 'cuda'"]),
        ({"quiet": "perhaps"}, ["quiet", "perhaps", "boolean"]),
        ({"dedupe": "perhaps"}, ["dedupe", "perhaps", "boolean"]),
        ({"workers": 0}, ["workers", "0"]),
        ({"out": ""}, ["out", "at least 1 character"]),
        ({"models": ""}, ["models", "an empty name"]),
        ({"models": 5}, ["models", "5"]),
        ({"models": "ae,ae"}, ["models", "ae stands twice"]),
        ({"models": ["ae", " ae"]}, ["models", "ae stands twice"]),
        ({"models": "vae:beta"}, ["'beta' in 'vae:beta' is not field=value"]),
        ({"models": "vae:beta=1:beta=2"}, ["'beta' stands twice"]),
        ({"models": ":beta=1"}, ["not a model spec"]),
        ({"seeds": 0}, ["seeds", "0"]),
        ({"seeds": "5-3"}, ["seeds", "5-3", "A <= B"]),
        ({"seeds": "a,b"}, ["seeds", "a count N, a range A-B or a list a,b,c"]),
        ({"seeds": "²"}, ["seeds", "²"]),
        ({"seeds": [0, 0]}, ["seeds", "0 stands twice"]),
        ({"seeds": "1,2,1"}, ["seeds", "1 stands twice"]),
        ({"seeds": [-1]}, ["seeds", "-1", "greater than or equal to 0"]),
        ({"seeds": "2147483648-2147483649"}, ["seeds", "less than 2147483648"]),
        ({"seeds": []}, ["seeds", "at least 1 item"]),
        ({"seeds": "100000"}, ["seeds", "1 to 1000"]),
        ({"study": "qick"}, ["unknown study 'qick'", "did you mean 'quick'"]),
        ({"study": ["quick"]}, ["unknown study"]),
        ({"depth": "x", "lr": -1}, ["depth", "; lr"]),
    ],
)
def test_wrong_settings_name_the_key_the_value_and_what_is_allowed(asked, words):
    with pytest.raises(ValueError) as caught:
        make_run(with_study(asked))
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        (3, (0, 1, 2)),
        ("3", (0, 1, 2)),
        ("3-5", (3, 4, 5)),
        (" 3 - 5 ", (3, 4, 5)),
        ("4-4", (4,)),
        ("0,2,7", (0, 2, 7)),
        ("7,", (7,)),
        ([5, 6], (5, 6)),
    ],
)
def test_seeds(text, seeds):
    assert make_run({"seeds": text}).seeds == seeds


@pytest.mark.parametrize(
    ("text", "head", "fields"),
    [
        ("ae", "ae", {}),
        ("vae:beta=4", "vae", {"beta": "4"}),
        (" vae:beta=4:kl=mean ", "vae", {"beta": "4", "kl": "mean"}),
        ("package.module:MyModel:width=64", "package.module:MyModel", {"width": "64"}),
        ("package.module:make", "package.module:make", {}),
        ("mine:MyModel:width=64", "mine:MyModel", {"width": "64"}),
        ("vae:path=a=b", "vae", {"path": "a=b"}),
    ],
)
def test_specs(text, head, fields):
    spec = parse_spec(text)
    assert (spec.text, spec.name, spec.fields) == (text.strip(), head, fields)


def test_resolve_fills_only_what_is_open():
    run = make_run({"latent_dim": 3}).resolve({"latent_dim": 8, "epochs": 150, "batch_size": 64})
    assert (run.latent_dim, run.epochs, run.batch_size) == (3, 150, 64)


def test_settings_win_over_their_study():
    asked = with_study({"study": "quick", "epochs": 3})
    assert asked["epochs"] == 3
    assert make_run(asked).seeds == (0, 1)
    assert "summary" not in asked


@pytest.mark.parametrize("study", studies())
def test_every_study_is_a_run_and_says_what_it_is_for(study):
    preset = studies()[study]
    assert isinstance(preset.summary, str)
    assert preset.summary
    run = make_run(with_study({"study": study}))
    assert run.study == study
    assert run.id != Run().id


@pytest.mark.parametrize("content", [b"models = ", b"\xff\xfe", b"a = 1\na = 2", b"[models\n"])
def test_what_is_not_toml_is_refused_by_name(tmp_path, content):
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"run\.toml is not TOML"):
        load_toml(path)


def test_a_missing_configuration_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"config file .*absent\.toml: No such file"):
        load_toml(tmp_path / "absent.toml")
    with pytest.raises(ValueError, match="is no regular file"):
        load_toml(tmp_path)


@pytest.mark.parametrize("key", ["data_root", "out", "models", "metrics", "reuse", "dataset"])
def test_bytes_are_no_text(key):
    for value in (b"x", [b"x"], bytearray(b"x")):
        with pytest.raises(ValueError, match=rf"{key}: .* is not allowed: it is bytes, not text"):
            make_run({key: value})


@pytest.mark.parametrize("key", ["seeds", "models", "metrics", "reuse", "epochs", "lr"])
def test_true_is_no_number_and_no_name(key):
    for value in (True, [True], (1, False)):
        with pytest.raises(ValueError, match=rf"{key}: (true|false) is not allowed"):
            make_run({key: value})


def test_what_is_overruled_is_checked_all_the_same():
    with pytest.raises(ValueError, match="dry_run: 7 is not allowed"):
        config.overruled({"dry_run": 7}, {"dry_run": True})
    merged = config.overruled(
        {"splits": 10, "epochs": 5}, {"splits": 2}
    )  # too many for the default seeds, and replaced
    assert make_run(merged).splits == 2
    assert merged["epochs"] == 5
