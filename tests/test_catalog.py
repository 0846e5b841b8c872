"""The catalog: what a folder or a plug-in offers is found, what is misspelt is refused with the nearest right name."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import warnings
from dataclasses import asdict, astuple, replace
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Literal, get_args

import pytest
import torch

from latentbench import catalog
from latentbench.config import make_run, parse_spec
from latentbench.core import Dataset, DatasetEntry, Family, Metric, ModelEntry, Question
from latentbench.records import Record
from latentbench.report.wording import words
from latentbench.report.wording.phrases import PHRASES
from latentbench.running.provenance import describe_run

ENTRY = ModelEntry("mine", lambda shape, latent_dim: None, "a test's own", "this file")
SECOND_AE = ModelEntry("ae", lambda shape, latent_dim: None, "takes a taken name", "this file")
NOT_AN_ENTRY = 7


def test_what_is_built_in():
    assert {"ae", "vae"} <= catalog.models().keys()
    assert {"digits", "lines", "shapes", "mnist", "fashion-mnist", "npz", "folder"} <= catalog.datasets().keys()
    assert {"mse", "r2", "kl", "hole", "path.tortuosity", "validity.normal"} <= catalog.metrics().keys()


@pytest.mark.parametrize("entries", [catalog.models, catalog.datasets, catalog.metrics])
def test_every_entry_says_what_it_is_and_where_it_is_from(entries):
    for name, entry in entries().items():
        assert entry.name == name
        assert entry.summary
        assert entry.source
        assert "\n" not in entry.summary + entry.source
    with pytest.raises(TypeError):
        entries()["new"] = None


def plug_in(monkeypatch, *points: tuple[str, str]) -> None:
    found = [EntryPoint(name, value, "latentbench.models") for name, value in points]
    monkeypatch.setattr(catalog, "entry_points", lambda group: found)


def collect() -> dict[str, ModelEntry]:
    return dict(catalog.collect(ModelEntry, "models"))


def test_a_plug_in_is_found(monkeypatch):
    plug_in(monkeypatch, ("mine", f"{__name__}:ENTRY"))
    assert collect()["mine"] is ENTRY


@pytest.mark.parametrize(
    "value", ["no_such_module:ENTRY", f"{__name__}:NO_SUCH_NAME", f"{__name__}:NOT_AN_ENTRY", f"{__name__}:Broken.x"]
)
def test_a_broken_plug_in_is_left_out_with_a_warning_that_names_it(monkeypatch, value):
    plug_in(monkeypatch, ("broken", value), ("mine", f"{__name__}:ENTRY"))
    with pytest.warns(UserWarning, match=f"plug-in broken .*{value.partition(':')[2]}.* left out"):
        found = collect()
    assert "mine" in found
    assert "broken" not in found


def test_a_name_declared_twice_names_both_origins(monkeypatch):
    plug_in(monkeypatch, ("ae", f"{__name__}:SECOND_AE"))
    with pytest.raises(
        ValueError, match=r"model 'ae' is declared twice: in latentbench\.models\.ae and in .*SECOND_AE"
    ):
        collect()


@pytest.mark.parametrize(("name", "word"), [("floor:mine", "floor:"), ("judge", "judge"), ("baseline", "baseline:")])
def test_a_plug_in_bears_no_name_of_a_reference_or_a_judge(monkeypatch, name, word):
    monkeypatch.setattr(f"{__name__}.RESERVED", replace(ENTRY, name=name), raising=False)
    plug_in(monkeypatch, ("mine", f"{__name__}:RESERVED"))
    with pytest.raises(ValueError, match=f"model of .*RESERVED.*: '{name}.*' is not allowed: '{word}' is reserved"):
        collect()


def test_the_same_object_twice_is_no_quarrel(monkeypatch):
    plug_in(monkeypatch, ("mine", f"{__name__}:ENTRY"), ("again", f"{__name__}:ENTRY"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert collect()["mine"] is ENTRY


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("digit", "unknown dataset 'digit'; did you mean 'digits'"),
        ("npz", "dataset 'npz' needs PATH: write npz:PATH"),
        ("npz:", "dataset 'npz' needs PATH: write npz:PATH"),
        ("digits:8", "dataset 'digits' takes nothing after a colon, got '8'"),
        ("digits:", "dataset 'digits' takes nothing after a colon"),
        ("zzzz", r"unknown dataset 'zzzz' \(allowed: "),
    ],
)
def test_wrong_datasets(text, message):
    with pytest.raises(ValueError, match=message):
        catalog.find_dataset(text)


def test_a_path_may_hold_colons():
    entry, argument = catalog.find_dataset("npz:C:\\data\\x:y.npz")
    assert (entry.name, argument) == ("npz", "C:\\data\\x:y.npz")


def test_metrics_by_name_family_and_all():
    assert list(catalog.find_metrics(("mse",))) == ["mse"]
    family = catalog.find_metrics(("path.*", "path.jump"))
    assert {"path.tortuosity", "path.jump"} <= family.keys()
    assert all(name.startswith("path.") for name in family)
    assert catalog.find_metrics(("all",)) == dict(catalog.metrics())
    with pytest.raises(ValueError, match=r"unknown metric 'path\.tortuousity'; did you mean 'path\.tortuosity'"):
        catalog.find_metrics(("path.tortuousity",))
    with pytest.raises(ValueError, match="unknown metric 'paths"):
        catalog.find_metrics(("paths.*",))


@pytest.fixture
def dear(monkeypatch):
    """A catalog of three metrics, one of which must be asked for."""
    mse = catalog.metrics()["mse"]
    three = {n: replace(mse, name=n, on_request=n == "path.dear") for n in ("path.cheap", "path.dear", "mse")}
    monkeypatch.setattr(catalog, "metrics", lambda: three)
    return three


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ((), ["path.cheap", "mse"]),
        (("default",), ["path.cheap", "mse"]),
        (("all",), ["path.cheap", "path.dear", "mse"]),
        (("path.dear",), ["path.dear"]),
        (("path.*",), ["path.cheap", "path.dear"]),
        (("default", "path.*"), ["path.cheap", "mse", "path.dear"]),
        (("mse", "all"), ["mse", "path.cheap", "path.dear"]),
    ],
)
def test_what_is_on_request_is_measured_where_it_is_asked_for(dear, names, found):
    assert list(catalog.find_metrics(names)) == found


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("defaults", "did you mean 'default'"),
        ("al", "did you mean 'all'"),
        ("paths.*", r"did you mean 'path\.\*'"),
        ("mse.*", "did you mean 'mse'"),
        ("path.deer", r"did you mean 'path\.dear'"),
    ],
)
def test_a_name_of_no_metric_is_refused_with_the_nearest_right_one(dear, name, hint):
    with pytest.raises(ValueError, match=f"unknown metric '{re.escape(name)}'; {hint}"):
        catalog.find_metrics((name,))


def test_no_answer_rests_on_what_must_be_asked_for():
    with pytest.raises(ValueError, match="metric 'r2': on_request is not allowed with headline reconstructs, cost"):
        replace(catalog.metrics()["r2"], on_request=True)


@pytest.mark.parametrize("word", ["default", "all"])
def test_no_metric_bears_the_name_of_several(monkeypatch, word):
    metric = replace(catalog.metrics()["mse"], name=word)
    point = SimpleNamespace(name="plug", value="plug:METRIC", load=lambda: metric)
    monkeypatch.setattr(catalog, "entry_points", lambda group: [point])
    with pytest.raises(ValueError, match=f"metric '{word}' of plug:METRIC: the name stands for several metrics"):
        catalog.collect(Metric, "metrics")


def build(
    shape: tuple[int, int, int],
    latent_dim: int,
    *,
    width: int = 3,
    rate: float | None = None,
    flag: bool = False,
    kind: Literal["one", "two"] = "one",
    mixed: float | Literal["learned"] = "learned",
    text="free",
) -> dict[str, object]:
    """Stands in for a user's model."""
    return {"shape": shape, "latent_dim": latent_dim, "width": width}


def needy(shape: tuple[int, int, int], latent_dim: int, *, size: int) -> None:
    """A builder with a field that has no default."""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The builders of this file, importable as package.module."""
    module = type(sys)("users.own")
    module.build, module.needy, module.number = build, needy, 5
    monkeypatch.setitem(sys.modules, "users", type(sys)("users"))
    monkeypatch.setitem(sys.modules, "users.own", module)
    return "users.own:build"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("", {}),
        (":width=64", {"width": 64}),
        (":rate=0.5", {"rate": 0.5}),
        (":rate=1e-3", {"rate": 1e-3}),
        (":flag=true", {"flag": True}),
        (":flag=0", {"flag": False}),
        (":kind=two", {"kind": "two"}),
        (":mixed=0.25", {"mixed": 0.25}),
        (":mixed=learned", {"mixed": "learned"}),
        (":text=12", {"text": "12"}),
    ],
)
def test_fields_have_the_types_their_builder_declares(home, fields, expected):
    params = catalog.resolve_model(home + fields, make_run({"width": 7, "latent_dim": 2})).params
    default = {"width": 7, "rate": None, "flag": False, "kind": "one", "mixed": "learned", "text": "free"}
    assert params == {**default, **expected}
    assert all(type(params[k]) is type(v) for k, v in expected.items())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (":widht=64", "'widht'; did you mean 'width'"),
        (":width=6.5", r"width in .*'6\.5' is not allowed \(allowed: a whole number\)"),
        (":rate=fast", "'fast' is not allowed"),
        (":rate=nan", "'nan' is not allowed"),
        (":rate=inf", "'inf' is not allowed"),
        (":flag=maybe", "'maybe' is not allowed .*true, false"),
        (":kind=tow", r"'tow' is not allowed; did you mean 'two'\? \(allowed: one, two\)"),
        (":mixed=lerned", "did you mean 'learned'"),
        (":shape=1", "'shape'"),
    ],
)
def test_wrong_fields(home, fields, message):
    with pytest.raises(ValueError, match=message):
        catalog.resolve_model(home + fields, make_run({}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vea", "unknown model 'vea'; did you mean 'vae'"),
        ("no.such:Model", "model 'no.such:Model': ModuleNotFoundError"),
        ("users.own:Absent", "has no attribute 'Absent'"),
        ("users.own:number", "is not callable"),
        ("users.own:needy", "needs size: write users.own:needy:size="),
    ],
)
def test_wrong_models(home, text, message):
    with pytest.raises(ValueError, match=message):
        catalog.resolve_model(text, make_run({}))


def test_a_users_module_that_cannot_be_read_is_a_value_error(tmp_path, monkeypatch):
    (tmp_path / "users_broken.py").write_text("def f(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="SyntaxError"):
        catalog.find_builder(parse_spec("users_broken:Model"))


def test_a_users_own_model_is_built(home):
    run = make_run({"latent_dim": 2, "width": 5})
    assert catalog.build_model(home, run, (1, 8, 8)) == {"shape": (1, 8, 8), "latent_dim": 2, "width": 5}


def test_a_model_is_resolved_once_and_then_an_object(home):
    spec = catalog.resolve_model(f" {home}:rate=0.5:latent_dim=3", make_run({"latent_dim": 2, "width": 5}))
    assert (spec.text, spec.name) == (f"{home}:rate=0.5:latent_dim=3", home)
    assert (spec.latent_dim, spec.params["rate"], spec.builder) == (3, 0.5, build)
    assert spec.build((1, 8, 8)) == {"shape": (1, 8, 8), "latent_dim": 3, "width": 5}


def test_a_users_builder_of_the_wrong_form_is_refused(home, monkeypatch):
    monkeypatch.setattr(sys.modules["users.own"], "wrong", lambda: None, raising=False)
    with pytest.raises(ValueError, match="cannot be called as build"):
        catalog.build_model("users.own:wrong", make_run({"latent_dim": 2}), (1, 8, 8))


@pytest.mark.parametrize("spec", ["ae", "vae", "ae:noise=0.5", "vae:beta=4:kl=mean:net=mlp"])
def test_what_is_built_in_is_built(spec):
    run = make_run({"latent_dim": 3, "width": 8})
    model = catalog.build_model(spec, run, (1, 8, 8))
    x = torch.rand(2, 1, 8, 8)
    assert model.encode(x).mu.shape == (2, 3)
    assert model.decode(torch.zeros(2, 3)).shape == x.shape


@pytest.mark.parametrize("spec", ["vae:beta=-1", "vae:sigma=0", "vae:likelihood=bernoulli:sigma=1"])
def test_a_builders_refusal_is_a_value_error(spec):
    with pytest.raises(ValueError, match="not allowed"):
        catalog.build_model(spec, make_run({"latent_dim": 3}), (1, 8, 8))


def test_a_run_must_be_resolved_before_a_model_is_built():
    with pytest.raises(ValueError, match="latent_dim is open"):
        catalog.build_model("ae", make_run({}), (1, 8, 8))


def test_a_declaration_and_the_verdict_speak_alike_of_a_measure():
    """The table speaks for runs recorded before declarations had phrases."""
    declared = {name: astuple(m.phrase) for name, m in catalog.metrics().items() if m.phrase}
    assert {name: declared.get(name) for name in PHRASES} == {name: tuple(p) for name, p in PHRASES.items()}


def test_every_question_has_a_measure_that_its_answer_rests_on():
    rests: dict[str, list[str]] = {question: [] for question in get_args(Question)}
    for name, metric in catalog.metrics().items():
        for question in metric.headline:
            rests[question].append(name)
    assert rests == {
        "continuous": ["path.validity_gain"],
        "complete": ["validity.normal", "validity.prior", "hole"],
        "posterior": ["kl", "kl.mean_part", "active_units", "punctual_index", "hole"],
        "reconstructs": ["r2"],
        "cost": ["r2"],
    }


def test_a_family_is_that_of_the_definition_and_for_older_runs_that_of_the_name():
    families = {f.key for f in (*words.FAMILIES, words.OTHER)}
    assert families == set(get_args(Family)) == {*words.PREFIXES, "other"}
    for name, metric in catalog.metrics().items():
        assert words.family(name, {"family": metric.family}).key == words.family(name).key == metric.family
    assert words.family("path.mine", {"family": "cost"}).key == "cost"
    assert words.family("path.mine", {"family": "of a later version"}) is words.OTHER
    assert words.family("mine") is words.OTHER


def test_a_declaration_travels_in_the_run_record():
    data = catalog.load_dataset(make_run({"dataset": "digits"}))
    metrics = catalog.find_metrics(("hole", "psnr")).values()
    head = Record.from_json(
        describe_run({"dataset": "digits"}, (data,), list(metrics), {}, "", {}).to_record().to_json()
    )
    hole, psnr = (head.detail["definitions"][m.name] for m in metrics)
    assert (hole["family"], hole["headline"]) == ("completeness", ["complete", "posterior"])
    assert hole["phrase"] == asdict(catalog.metrics()["hole"].phrase)
    assert (psnr["family"], psnr["headline"], psnr["phrase"]) == ("reconstruction", [], None)


def test_a_need_that_is_none_is_refused():
    with pytest.raises(TypeError, match=r"metric 'mine': 'decoder' is no core\.Need"):
        replace(catalog.metrics()["mse"], name="mine", needs=frozenset({"decoder"}))


def test_entries_are_of_their_kind():
    kinds = {catalog.models: ModelEntry, catalog.datasets: DatasetEntry, catalog.metrics: Metric}
    for entries, kind in kinds.items():
        assert all(isinstance(e, kind) for e in entries().values())


def test_a_dataset_is_loaded_by_the_run_that_names_it():
    data = catalog.load_dataset(make_run({"dataset": "digits", "split_seed": 3}))
    assert isinstance(data, Dataset)
    assert data.sha256 != catalog.load_dataset(make_run({"dataset": "digits"})).sha256


def test_listing_needs_no_network_and_loads_no_data():
    code = """
    import socket, sys
    def refuse(*a, **k): raise OSError("no network")
    socket.socket.connect = socket.getaddrinfo = refuse
    from latentbench import catalog
    print(len(catalog.datasets()) > 3, "torchvision" in sys.modules, "sklearn" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False", "False"], done.stderr
