"""Run: what is asked, refused in one line, written out and read back."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from latentbench import config
from latentbench.config import Run, load_toml, make_run, option_name, parse_spec, studies, with_study

keys = st.sampled_from([option_name(f) for f in Run.model_fields]) | st.text(max_size=6)
junk = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.integers(), max_size=3)
)


@given(st.dictionaries(keys, junk, max_size=4))
def test_junk_is_refused_in_one_line_or_taken(settings):
    try:
        assert isinstance(make_run(settings), Run)
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("epochs", 0, ["epochs", "0", "greater than or equal to 1"]),
        ("epochs", "ten", ["epochs", "ten", "integer"]),
        ("lr", "nan", ["lr", "finite"]),
        ("seeds", "5-2", ["seeds", "5-2", "A-B"]),
        ("seeds", "0", ["seeds", "from 1 to 1000"]),
        ("seeds", "1,1", ["seeds", "twice"]),
        ("seeds", "0,0", ["seeds", "twice"]),
        ("models", "ae,ae", ["models", "ae", "twice"]),
        ("models", "vae:beta", ["beta", "field=value"]),
        ("device", "gpu", ["device", "gpu", "cuda"]),
        ("epoch", 3, ["unknown option 'epoch'", "did you mean 'epochs'"]),
        ("workers", -1, ["workers", "-1"]),
    ],
)
def test_refusals(key, value, words):
    with pytest.raises(ValueError) as caught:
        make_run({key: value})
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_every_bad_key_is_named_at_once():
    with pytest.raises(ValueError, match=r"epochs.*; lr"):
        make_run({"epochs": 0, "lr": -1})


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", (0, 1, 2)), (3, (0, 1, 2)), ("4-6", (4, 5, 6)), ("1,7,3", (1, 7, 3)), ([2, 5], (2, 5))]
)
def test_seeds(text, seeds):
    assert make_run({"seeds": text}).seeds == seeds


def test_specs():
    spec = parse_spec("vae:beta=4:kl=mean")
    assert (spec.name, dict(spec.fields)) == ("vae", {"beta": "4", "kl": "mean"})
    spec = parse_spec("package.module:MyModel:width=64")
    assert (spec.name, dict(spec.fields)) == ("package.module:MyModel", {"width": "64"})


def test_id_is_of_the_question_not_of_its_carrying_out():
    run = make_run({})
    assert run.id == make_run({"out": "x", "workers": 3, "quiet": True, "data_root": "y", "resume": True}).id
    assert run.id != make_run({"epochs": 3}).id
    assert run.id.startswith("digits-ae-vae-")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True), lr=st.floats(1e-6, 1), quiet=st.booleans()
)
def test_toml_round_trip(tmp_path, seeds, lr, quiet):
    run = make_run({"seeds": seeds, "lr": lr, "quiet": quiet, "models": "ae,vae:beta=4", "latent_dim": 4})
    path = tmp_path / "run.toml"
    path.write_text(run.to_toml())
    assert make_run(load_toml(path)) == run


def test_toml_errors(tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        load_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("= 3")
    with pytest.raises(ValueError, match="not TOML"):
        load_toml(tmp_path / "bad.toml")


def test_every_study_is_a_valid_run_and_the_user_wins():
    for name in studies():
        make_run(with_study({"study": name}))
        assert studies()[name]["summary"]
    assert make_run(with_study({"study": "quick", "epochs": 3})).epochs == 3
    with pytest.raises(ValueError, match="did you mean 'quick'"):
        with_study({"study": "quik"})


def test_defaults_stand_in_run_alone():
    assert make_run({}) == Run()
    assert make_run({}).resolve({"latent_dim": 8}).latent_dim == 8
    assert make_run({"latent_dim": 3}).resolve({"latent_dim": 8}).latent_dim == 3
    assert set(Run.model_fields) >= config.HOW
