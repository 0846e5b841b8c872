"""Input that cannot be, drawn for every command: from the fields of Run and their bounds, from the grammar of specs and
the fields of every model in the catalog, from what a path must not name. Nothing here lists options: a new field of Run,
a new model or a new field of a model is tried by being there.
"""

from __future__ import annotations

import itertools
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from latentbench.catalog import metrics, model_fields, models
from latentbench.config import EXECUTION_OPTIONS, SWITCHES, Run, option_name
from latentbench.machine import THREADS, WORKERS
from latentbench.running.reuse import CACHE_VARIABLE

CONTROLS = ("\x1b[31m", "\x00", "\n", "\x7f", "\u202e", "\x9b", "\r")
BLANK = ("", " ", "\t", "   ")
JUNK = (
    "x" * 5000,
    "9" * 400,
    "1e400",
    "0x10",
    "--",
    "=",
    ":",
    ",",
    ";",
    "nan",
    "inf",
    "-inf",
    "½",
    "²",
    "None",
    "null",
    "1;2",
    "[",
    "{}",
)
"""Words that are neither a number in any range nor the name of anything."""
PLACES = ("/dev/full/x", "/proc/self/mem", "/dev/zero", "/nowhere/there/at/all.html")
"""Paths that hold no run, no data and no configuration, and cannot be written as a file of ours."""


@dataclass(frozen=True)
class Case:
    """One malformed input: words of a command line, or settings for `lb.run`, or the text of a TOML file for ``run``;
    ``environment`` variables it is to be given with. ``{tmp}`` stands for a folder of the test's."""

    kind: Literal["words", "toml", "call", "environment"]
    words: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    toml: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


def _kinds(hint: Any) -> list[Any]:
    if get_origin(hint) in (Union, types.UnionType):
        return [k for option in get_args(hint) for k in _kinds(option)]
    return [] if hint is type(None) else [hint]


def _bounds(about: Any) -> tuple[float, float]:
    low, high = -(2.0**31), 2.0**53
    for mark in about.metadata:
        low = max(low, getattr(mark, "ge", low), getattr(mark, "gt", low))
        high = min(high, getattr(mark, "le", high), getattr(mark, "lt", high))
    return low, high


def _numbers(about: Any) -> st.SearchStrategy[str]:
    """Numbers beyond a field's bounds, and what is none."""
    low, high = _bounds(about)
    return st.one_of(
        st.integers(int(low) - 10**6, int(low) - 1).map(str), st.integers(int(high) + 1, 10 * int(high) + 10).map(str),
        st.integers(1, 400).map(lambda n: "9" * (n + 17)), st.sampled_from(["1.5", "-1.5", "1e9999", "-0.5", "1_0_", "+-1", *BLANK, *JUNK]),
        st.sampled_from(CONTROLS).map(lambda c: f"1{c}"),
    ) if int in _kinds(about.annotation) else st.sampled_from(["-1", "0", "nan", "inf", "-inf", "1e400", "11", *BLANK, "x", "1,2", "½"])  # fmt: skip


def _value(name: str) -> st.SearchStrategy[str]:
    """A word that the option of this field cannot take."""
    about = Run.model_fields[name]
    kinds = _kinds(about.annotation)
    dirty = st.tuples(st.sampled_from(["a", "digits", "ae"]), st.sampled_from(CONTROLS)).map("".join)
    if int in kinds or float in kinds:
        return _numbers(about)
    if name == "models":
        return specs()
    if name == "seeds":
        return st.one_of(
            st.integers(1001, 10**12).map(str), st.sampled_from(["0", "-1", "3-1", "0-5000", "0,0", "1,,2", ",", "1.5", "a-b", "0-", "-", *BLANK, *JUNK]),
            st.integers(2**31, 2**80).map(lambda n: f"0,{n}"), dirty,
        )  # fmt: skip
    if name == "memory":
        return st.one_of(
            st.integers(20, 4000).map(lambda n: "9" * n), st.integers(20, 400).map(lambda n: "9" * n + "GiB"),
            st.sampled_from(["0", "-1GiB", "1", "1QiB", "GiB", "1e9", "1GiBB", "4 4GiB", "0.0000001GiB", "2000TiB", *BLANK, *JUNK]), dirty,
        )  # fmt: skip
    if name == "metrics":
        near = st.sampled_from(sorted(metrics())).map(lambda m: m + "x")
        return st.one_of(near, st.sampled_from(["r2,r2", "r2,,mse", ",", ".*", "nothing.*", "*", *BLANK, *JUNK]), dirty)
    if any(get_origin(k) is Literal for k in kinds) or name in ("executor", "study", "lang"):
        return st.one_of(st.sampled_from(["CPU ", "auto,cpu", "floats", "xx", *BLANK, *JUNK]), dirty)
    if name == "dataset":
        return st.one_of(
            st.sampled_from([
                "digit", "digits:", "digits:x", "npz", "npz:", "npz:/nowhere.npz", "npz:~nobody-of-this-name/x.npz", "folder:~nobody-of-this-name/x", "npz:/dev/zero", "npz:{tmp}", "npz:{tmp}/fifo",
                "npz:{tmp}/junk", "npz:{tmp}/bomb.npz", "npz:{tmp}/liar.npz", "npz:{tmp}/pickle.npz", "folder:", "folder:/nowhere",
                "folder:{tmp}/junk", "folder:{tmp}/empty", ":", "npz:{tmp}/junk:x=", "npz:{tmp}/junk:z=a", "npz::x=a", "npy:{tmp}/junk", "npy:{tmp}/fifo",
                "npy:{tmp}", "mat:{tmp}/junk", "mat:/dev/zero", "idx:{tmp}/junk", "idx:{tmp}", "csv:{tmp}/junk", "csv:{tmp}/fifo", "csv:/dev/zero",
                "cifar:{tmp}", "cifar:/nowhere", "zip:{tmp}/junk", "zip:{tmp}/fifo", "tar:{tmp}/junk", "tar:/dev/zero", "h5:{tmp}/fifo", "hf:{tmp}",
                "hf:{tmp}/absent", "arrow:{tmp}/fifo", "h5ad:{tmp}", "parquet:{tmp}/fifo", "folder:{tmp}/empty:size=0", "folder:{tmp}:size=8xx", *BLANK, *JUNK,
            ]), dirty,
        )  # fmt: skip
    return st.one_of(st.sampled_from(BLANK), dirty, st.just("x" * 5000))


def specs() -> st.SearchStrategy[str]:
    """Models that cannot be: of a wrong name, with a field that is not there, twice, without or beyond its value."""
    fields = [
        (name, key, (get_type_hints(e.build.__init__ if isinstance(e.build, type) else e.build)).get(key))
        for name, e in models().items() for key in model_fields(e.build)
    ]  # fmt: skip

    def wrong(of: tuple[str, str, Any]) -> st.SearchStrategy[str]:
        name, key, _ = of
        about = Run.model_fields.get(key)
        words = _numbers(about).filter(lambda w: "," not in w) if about is not None else st.sampled_from(
            ["nan", "inf", "-inf", "-1", "x" * 5000, "9" * 400, "true?", "½", "", " ", "\x1b", "-1e9"]
        )  # fmt: skip
        return words.map(lambda w: f"{name}:{key}={w}")

    shapes = (
        "{0}x", ":{0}", "{0}:", "{0}::", "{0}:{1}", "{0}:{1}=", "{0}:=1", "{0}:{1}==1", "{0}:{1}=1:{1}=1", "{0}:{1}x=1", "{0},{0}",
        "{0}:latent_dim=0", "{0}:latent_dim=5000", "{0}:latent_dim=x", "{0}:latent_dim=-1", "{0}:{1}=1=1x", "judge", "floor:black", "ceiling:real",
        "null:prior", "baseline:pca", "check:self", "judge:second", " ", "", ",", "os:path", "os:system", "os.path:join", "no.module:Thing",
        "json:Missing", "sys:exit", "builtins:exit", "a.b:C:d", "user_raises:Model", "user_exits:Model", "user_syntax:Model", "user_builds:Model",
        "user_lacks:Model", "user_leaves:Model", "user_number:Model", "{0}:width=65536:depth=16:net=mlp",
    )  # fmt: skip
    formed = st.tuples(st.sampled_from(shapes), st.sampled_from(fields)).map(lambda x: x[0].format(x[1][0], x[1][1]))
    return st.one_of(formed, st.sampled_from(fields).flatmap(wrong))


VALUED = tuple(
    n for n in Run.model_fields if option_name(n) not in SWITCHES and n not in ("out", "data_root", "workers")
)
OTHERS = ("out", "data_root", "workers")
"""Also options with a value; their own words."""


def _flag(name: str) -> str:
    return "--" + option_name(name).replace("_", "-")


def runs() -> st.SearchStrategy[Case]:
    """``run`` with one option that cannot be."""
    options = st.sampled_from([*VALUED, *OTHERS]).flatmap(
        lambda n: _value(n).map(lambda w: ("run", "--dry-run", f"{_flag(n)}={w}"))
    )
    dataset = _value("dataset").map(lambda w: ("run", "--dry-run", f"--dataset={w}"))
    model = specs().map(lambda w: ("run", "--dry-run", f"--models={w}"))
    rest = st.sampled_from([
        ("run", "--batch-size", "100000", "--dry-run"), ("run", "--splits", "7", "--dry-run"), ("run", "--nothing"), ("run", "extra"),
        ("run", "--depth"), ("run", "--config", ""), ("run", "--config", "{tmp}"), ("run", "--config", "{tmp}/fifo"), ("run", "--config", "/dev/zero"),
        ("run", "--config", "{tmp}/junk"), ("run", "--save-config", ""), ("run", "--save-config", "{tmp}"), ("run", "--save-config", "{tmp}/fifo"),
        ("run", "--save-config", "/dev/full"), ("run", "--out", "{tmp}/junk"), ("run", "--out", "{tmp}/fifo"), ("run", "--out", "/dev/null"),
        ("run", "--reuse", ""), ("run", "--reuse", "~nobody-of-this-name/x", "--dry-run"),
        ("run", "--dataset=mnist", "--data-root=~nobody-of-this-name/x", "--dry-run"),
        ("run", "--reuse", "{tmp}"), ("run", "--reuse", "/dev/null"), ("run", "--width", "65536", "--depth", "16", "--dry-run"),
        ("run", "--executor", "nobody"), ("ruin",), ("--nothing",), ("run", "--device", "cuda:9"), ("run", "--seeds", "1\u00a02"),
    ])  # fmt: skip
    return st.one_of(options, options, model, dataset, rest).map(lambda words: Case("words", words))


def others() -> st.SearchStrategy[Case]:
    """The other commands with what they cannot take."""
    bad = st.sampled_from(
        [
            "",
            " ",
            "{tmp}",
            "{tmp}/junk",
            "{tmp}/fifo",
            "{tmp}/empty",
            "{tmp}/absent",
            "{tmp}/torn",
            "/dev/null",
            "\x1b[2J",
            "a\nb",
            "x" * 5000,
        ]
    )
    target = st.sampled_from(
        [
            "",
            " ",
            "{tmp}",
            "{tmp}/fifo",
            "{tmp}/junk",
            "{tmp}/loop",
            "{tmp}/absent/page.html",
            *PLACES,
            "\x1b]0;x\x07",
            "a\nb",
        ]
    )
    lang = st.sampled_from(["", "xx", "EN ", "zh\n", "\x1b", "x" * 5000])
    words = st.one_of(
        bad.map(lambda b: ("report", b)), target.map(lambda t: ("report", "{tmp}/whole", "--out", t)), lang.map(lambda w: ("report", "{tmp}/whole", "--out", "{tmp}/new.html", "--lang", w)),
        bad.map(lambda b: ("compare", b, "{tmp}/whole")), bad.map(lambda b: ("compare", "{tmp}/whole", b)), target.map(lambda t: ("compare", "{tmp}/whole", "{tmp}/whole", "--out", t)),
        bad.map(lambda b: ("compare", "--history", "{tmp}/whole", b)), target.map(lambda t: ("compare", "--history", "{tmp}/whole", "{tmp}/whole", "--out", t)),
        st.sampled_from(["", "5%", "=5%", "r2=", "r2=x", "r2=nan", "r2=-1", "nothing=5%", "r2=1e400", "r2=5%%", "\x1b=5%"]).map(lambda t: ("compare", "{tmp}/whole", "{tmp}/whole", "--threshold", t)),
        st.sampled_from(["wrose", ",", "worse,,", "all", " ", "\x1b"]).map(lambda t: ("compare", "{tmp}/whole", "{tmp}/whole", "--fail-on", t)),
        bad.map(lambda b: ("measure", b, "--dry-run")), _value("metrics").map(lambda m: ("measure", "{tmp}/whole", "--dry-run", f"--metrics={m}")),
        st.sampled_from(["", "model", "x" * 400, "\x1b", "Models"]).map(lambda k: ("list", k)),
        st.sampled_from(["", ".", "/", "..", "benchmarks/..", "/etc", "absent", "\x1b"]).map(lambda s: ("gate", "--base", "HEAD", "--suite", s)),
        st.sampled_from(["", "no-such", "--help-me", "HEAD^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^{x}", "\x1b"]).map(lambda r: ("gate", f"--base={r}", "--suite", "tests")),
        st.sampled_from(["0", "-1", "nan", "inf", "", "x", "1e9"]).map(lambda m: ("gate", "--base", "HEAD", "--minutes", m)),
        st.sampled_from([("compare",), ("compare", "{tmp}/whole"), ("compare", *("{tmp}/whole",) * 3), ("report",), ("gate",), ("measure",), ("list",), ("compare", "--history", "{tmp}/whole")]),
    )  # fmt: skip
    return words.map(lambda w: Case("words", tuple(w)))


ODD = (
    -1,
    10**400,
    1.5,
    float("nan"),
    float("inf"),
    True,
    [],
    {},
    [[]],
    "",
    b"x",
    object,
    [None],
    {"a": 1},
    "\x1b",
    [1, "a"],
    (),
    10**6,
)


def calls() -> st.SearchStrategy[Case]:
    """`lb.run` with a value of a wrong type."""
    taken: dict[str, tuple[Any, ...]] = {
        "metrics": ([], (), {}), "reuse": ([], ()), "seeds": (1.5, True), "models": (), "workers": (), "patience": (), "batch_size": (),
        "epochs": (), "split_seed": (10**6,), "lr": (1.5,), "seed": (),
    }  # fmt: skip

    def case(pair: tuple[str, Any]) -> bool:
        name, value = pair
        fine = name in taken and any(value == t and type(value) is type(t) for t in taken[name])
        return not fine and option_name(name) not in SWITCHES

    pairs = st.sampled_from([p for p in itertools.product(Run.model_fields, ODD) if case(p)])
    return pairs.map(lambda p: Case("call", settings={option_name(p[0]): p[1]}))


def tomls() -> st.SearchStrategy[Case]:
    """``run --config`` with a file that is no configuration."""
    whole = st.sampled_from([
        "models = ", "[models]\na = 1", "models = 1979-05-27", "= 1", "\x00", "x = [" * 3000, "latent_dim = 1e400", "seeds = [[1]]", "seeds = [-1]",
        "seeds = [true]", "device = ['cpu']", "no_such = 1", "lr = inf", "lr = nan", "models = ['ae', 1]", "models = [['ae']]", "dataset = 5", "epochs = 'many'",
        "quiet = 'perhaps'", "dry_run = 7", "metrics = {a = 1}", "depth = 99999999999999999999999999", "\"\" = 1", "\"a\\u001b\" = 1", "models = 'ae'\nmodels = 'ae'",
        "dataset = \"\\u001b[31m\"", "memory = " + "9" * 400, "memory = -1", "split_seed = 1.5", "study = 1", "study = ''", "lang = []", "out = 5", "reuse = [1]",
    ])  # fmt: skip
    numbers = st.sampled_from(
        [n for n in Run.model_fields if {int, float} & set(_kinds(Run.model_fields[n].annotation))]
    )
    typed = st.tuples(
        numbers, st.sampled_from(["'x'", "[]", "{}", "-7", "[1]", "1979-05-27", "nan", "true", "''"])
    ).map(lambda x: f"{option_name(x[0])} = {x[1]}")
    return st.one_of(whole, typed).map(lambda text: Case("toml", toml=text))


def environments() -> st.SearchStrategy[Case]:
    """A good ``run`` with a variable of ours that cannot be."""
    counts = st.sampled_from(["", "0", "-1", "1.5", "many", "9" * 400, "1025", " 1", "\x1b", "²", "0x1", "\udcff"])
    caches = st.sampled_from(["", " ", "\x1b", "a\nb", "x" * 5000, "/dev/null", "/dev/full/x", "~nobody-of-this-name/x", "{tmp}/junk",
                              "{tmp}/junk/below", "{tmp}/fifo", "{tmp}/loop", "{tmp}/loop/below", "\udcff\u202e"])  # fmt: skip
    pairs = st.one_of(
        st.tuples(st.sampled_from([THREADS, WORKERS]), counts), st.tuples(st.just(CACHE_VARIABLE), caches)
    )
    return pairs.map(lambda pair: Case("environment", words=("run", "--dry-run"), environment=dict([pair])))


def malformed() -> st.SearchStrategy[Case]:
    """All of them."""
    return st.one_of(runs(), runs(), runs(), others(), others(), calls(), tomls(), environments())


assert set(EXECUTION_OPTIONS) <= set(Run.model_fields)
