"""What there is: datasets, models and metrics, found by scanning this package's folders and installed entry points.

Adding one is adding one file: a module-level `Metric`, `ModelEntry` or `DatasetEntry` in the folder of its kind (or
behind the entry-point group ``latentbench.metrics | models | datasets``) is in every list, the command line, the
contract tests and the report. A plug-in that fails to load is left out with a warning that names it; a name declared
twice is an error naming both origins, and so is a model that bears the name of a reference or a judge.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
import pkgutil
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeVar, get_args, get_origin, get_type_hints

from latentbench.config import Run, Spec, check_field, parse_spec
from latentbench.core import Dataset, DatasetEntry, Metric, ModelEntry
from latentbench.datasets import duplicates
from latentbench.files.plain_text import one_line
from latentbench.records import model_name
from latentbench.refusals import unknown
from latentbench.spaces.known import space_of
from latentbench.spaces.space import Space


class Entry(Protocol):
    """What is found by scanning: it has a name."""

    @property
    def name(self) -> str:
        """Under which it is found."""
        ...


E = TypeVar("E", bound=Entry)

SPACE = "space"
"""The parameter of a builder that is handed the data's space, and no field of a spec."""
DEFAULT, ALL = "default", "all"
"""Words that stand for metrics: those of a run that names none, and every one there is."""
LATENT_DIM = "latent_dim"
"""The field that every spec may set whatever its model: the latent size, where it is not to be the run's."""


def collect(kind: type[E], group: str) -> Mapping[str, E]:
    """All entries of one kind, found by scanning ``latentbench/<group>/`` and the entry points ``latentbench.<group>``: name
    -> entry, in the order of file and line, then of plug-ins. Raises ValueError for a name that is declared twice."""
    entries: dict[str, E] = {}
    origin: dict[str, str] = {}

    def add(entry: E, where: str) -> None:
        if isinstance(entry, ModelEntry):
            model_name(f"model of {where}", entry.name)
            model_name(f"model of {where}, with a field", f"{entry.name}:field=value")
        if isinstance(entry, Metric) and entry.name in (DEFAULT, ALL):
            raise ValueError(
                f"metric '{entry.name}' of {where}: the name stands for several metrics; name it otherwise"
            )
        if entry.name in entries and entries[entry.name] is not entry:
            raise ValueError(f"{group[:-1]} '{entry.name}' is declared twice: in {origin[entry.name]} and in {where}")
        entries[entry.name], origin[entry.name] = entry, where

    package = importlib.import_module(f"latentbench.{group}")
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda i: i.name):
        module = importlib.import_module(f"latentbench.{group}.{info.name}")
        for entry in vars(module).values():
            if isinstance(entry, kind):
                add(entry, module.__name__)
    for point in entry_points(group=f"latentbench.{group}"):
        try:
            entry = point.load()
            if not isinstance(entry, kind):
                raise TypeError(f"is a {type(entry).__name__}, not a {kind.__name__}")
        except Exception as error:
            warnings.warn(f"plug-in {point.name} ({point.value}) left out: {error}", stacklevel=3)
            continue
        add(entry, point.value)
    return MappingProxyType(entries)


@cache
def metrics() -> Mapping[str, Metric]:
    """Every metric by name."""
    return collect(Metric, "metrics")


@cache
def models() -> Mapping[str, ModelEntry]:
    """Every model by name."""
    return collect(ModelEntry, "models")


@cache
def datasets() -> Mapping[str, DatasetEntry]:
    """Every dataset by name."""
    return collect(DatasetEntry, "datasets")


def find_dataset(text: str) -> tuple[DatasetEntry, str]:
    """The entry and the argument of ``digits`` or ``npz:PATH``. Raises ValueError for an unknown name, a missing
    argument or one that is not taken."""
    name, colon, argument = text.partition(":")
    entry = datasets().get(name)
    if entry is None:
        raise unknown("dataset", name, (f"{e.name}:{e.takes}" if e.takes else e.name for e in datasets().values()))
    if entry.takes and not argument:
        raise ValueError(f"dataset '{name}' needs {entry.takes}: write {name}:{entry.takes}")
    if colon and not entry.takes:
        raise ValueError(f"dataset '{name}' takes nothing after a colon, got '{argument}'")
    return entry, argument


def load_dataset(run: Run, decode: bool = True) -> Dataset:
    """The run's data, split and checked, within the run's memory where it can be streamed, without copies where the run
    asks for that; ``decode``: see `DatasetEntry`."""
    entry, argument = find_dataset(run.dataset)
    if entry.load_within is not None:
        dataset = entry.load_within(argument, run.data_root, run.split_seed, run.memory_bytes, decode)
    else:
        dataset = entry.load(argument, run.data_root, run.split_seed)
    return duplicates.removed(dataset) if run.dedupe else dataset


def find_metrics(names: tuple[str, ...]) -> dict[str, Metric]:
    """The metrics of these names, or the default set for none: all but those on request. A trailing ``.*`` takes a family
    with what is on request in it (``path.*``); ``default`` and ``all`` are words for the default set and for every metric.
    Each stands once, in the order of the names. Raises ValueError for a name of nothing."""
    every = metrics()
    chosen: dict[str, Metric] = {}
    for name in names or (DEFAULT,):
        chosen.update(_named(name, every))
    return chosen


def _named(name: str, every: Mapping[str, Metric]) -> Mapping[str, Metric]:
    if name == ALL:
        return every
    if name == DEFAULT:
        return {m: metric for m, metric in every.items() if not metric.on_request}
    if name.endswith(".*"):
        found = {m: metric for m, metric in every.items() if m.startswith(name[:-1])}
    else:
        found = {name: every[name]} if name in every else {}
    if not found:
        raise unknown("metric", name, [DEFAULT, ALL, *every, *_families(every)])
    return found


def _families(names: Iterable[str]) -> list[str]:
    """``path.*`` for every beginning that two names or more share."""
    heads = Counter(name.partition(".")[0] for name in names if "." in name)
    return [f"{head}.*" for head, count in heads.items() if count > 1]


def model_fields(build: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The fields a spec may set: keyword-only parameters of the builder's signature, but for `SPACE`."""
    signature = inspect.signature(build)
    return {n: p for n, p in signature.parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY and n != SPACE}


@dataclass(frozen=True)
class ModelSpec:
    """``vae:beta=4`` in a run, taken apart, checked and resolved: ``text`` as written, ``name`` and ``fields`` of it,
    ``params`` in effect (every field of the builder), ``latent_dim``, and the ``builder``."""

    text: str
    name: str
    fields: Mapping[str, str]
    params: Mapping[str, Any]
    latent_dim: int
    builder: Callable[..., Any] = field(repr=False)

    def build(self, of: Space | Sequence[int]) -> Any:
        """A fresh model for samples of a space, or of the space that a shape tells. A builder with a parameter `SPACE` is
        handed all of it, any other the shape. The caller seeds torch's generator: weights are drawn from it. Raises
        ValueError where the builder refuses its parameters, or cannot be called as a model is."""
        space = of if isinstance(of, Space) else space_of(of)
        shape, params = space.shape, dict(self.params)
        try:
            signature = inspect.signature(self.builder)
            if SPACE in signature.parameters:
                params[SPACE] = space
            signature.bind(shape, self.latent_dim, **params)
        except TypeError as error:
            raise ValueError(
                f"model '{self.text}' cannot be called as build(shape, latent_dim, **fields): {error}"
            ) from None
        try:
            return self.builder(shape, self.latent_dim, **params)
        except ValueError:
            raise
        except (Exception, SystemExit) as error:  # it may be the user's
            raise own_error(self.text, error) from error


def own_error(model: str, error: BaseException) -> ValueError:
    """What went wrong in a model of the user's, as a refusal: the kind of error, what it says, and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith("<") and "importlib" not in f.filename]
    # Where the user's code ends: what it calls in a library tells less.
    home = str(Path(__file__).parent)
    mine = [f for f in own if not f.filename.startswith(home) and "site-packages" not in f.filename] or own
    where = f" ({Path(mine[-1].filename).name}, line {mine[-1].lineno})" if mine else ""
    if isinstance(error, SyntaxError) and error.filename:
        where = f" ({Path(error.filename).name}, line {error.lineno})"
        error = SyntaxError(error.msg)
    told = one_line(str(error)) or "no reason given"
    return ValueError(f"model '{model}': {type(error).__name__}: {told}{where}")


def resolve_model(text: str, run: Run) -> ModelSpec:
    """The model of this spec in a run. Its parameters are the defaults of its builder, the run's depth and width where the
    builder has such fields, and the spec's own fields on top; its latent size is the spec's own, else the run's.

    Raises ValueError for a spec that cannot be taken apart, an unknown model or field, a value of the wrong type, and
    where the latent size is still open.
    """
    spec = parse_spec(text)
    build = find_builder(spec)
    return ModelSpec(spec.text, spec.name, spec.fields, _params(spec, build, run), _latent_dim(spec, run), build)


def build_model(text: str, run: Run, of: Space | Sequence[int]) -> Any:
    """A fresh model of this spec in a run, for samples of a space or a shape; see `resolve_model`, `ModelSpec.build`."""
    return resolve_model(text, run).build(of)


def find_builder(spec: Spec) -> Callable[..., Any]:
    """What builds the spec's model: a catalog entry's builder, or the object that ``package.module:Name`` names."""
    if ":" not in spec.name:
        entry = models().get(spec.name)
        if entry is None:
            raise unknown("model", spec.name, models())
        return entry.build
    module_name, _, attribute = spec.name.partition(":")
    look_here_too(module_name)
    try:
        build = getattr(importlib.import_module(module_name), attribute)
    except (Exception, SystemExit) as error:  # a module of the user's can fail in any way while it is imported
        raise own_error(spec.text, error) from error
    if not callable(build):
        raise ValueError(f"model '{spec.text}': {spec.name} is not callable")
    return build  # type: ignore[no-any-return]


def look_here_too(module: str) -> None:
    """Have a module that lies in the working folder found, after all others: no file there stands in for a module that is
    installed."""
    here, top = Path.cwd(), module.partition(".")[0]
    if top.isidentifier() and ((here / top).is_dir() or (here / f"{top}.py").is_file()) and str(here) not in sys.path:
        sys.path.append(str(here))


def _params(spec: Spec, build: Callable[..., Any], run: Run) -> dict[str, Any]:
    fields = model_fields(build)
    hints = _hints(build)
    shared = {"depth": run.depth} | ({} if run.width is None else {"width": run.width})
    params = {n: shared.get(n, p.default) for n, p in fields.items()}
    for key, word in spec.fields.items():
        if key == LATENT_DIM:
            continue
        if key not in fields:
            raise unknown(f"{spec.name} field", key, [*fields, LATENT_DIM])
        where = f"models: {key} in '{spec.text}'"
        params[key] = _cast(where, word, hints.get(key, str))
        check_field(where, key, params[key])
    if missing := [n for n, v in params.items() if v is inspect.Parameter.empty]:
        raise ValueError(f"model '{spec.name}' needs {', '.join(missing)}: write {spec.name}:{missing[0]}=...")
    return params


def _latent_dim(spec: Spec, run: Run) -> int:
    word = spec.fields.get(LATENT_DIM)
    if word is None:
        if run.latent_dim is None:
            raise ValueError("latent_dim is open: resolve the run first")
        return run.latent_dim
    if not (word.isdecimal() and 1 <= int(word) <= 4096):
        raise ValueError(f"models: latent_dim in '{spec.text}': '{word}' is not allowed (allowed: 1 to 4096)")
    return int(word)


def _hints(build: Callable[..., Any]) -> Mapping[str, Any]:
    """The types a builder declares for its fields; none where they cannot be made out: the fields are then text."""
    try:
        return get_type_hints(build.__init__ if inspect.isclass(build) else build)
    except (NameError, TypeError, AttributeError):
        return {}


def _kinds(hint: Any) -> list[Any]:
    """What a type is made of: the types and the literal values of a union, None left out."""
    options = get_args(hint)
    if not options:
        return [] if hint is type(None) else [hint]
    return list(options) if get_origin(hint) is Literal else [kind for o in options for kind in _kinds(o)]


def _cast(where: str, word: str, hint: Any) -> Any:
    """The text of a field as the type its builder declares."""
    kinds = _kinds(hint)
    literals = [k for k in kinds if not isinstance(k, type)]
    for literal in literals:
        if word == str(literal):
            return literal
    for kind in (k for k in kinds if isinstance(k, type)):
        try:
            if kind is bool:
                return {"true": True, "1": True, "false": False, "0": False}[word.lower()]
            value = kind(word)
        except (ValueError, TypeError, KeyError):
            continue
        if isinstance(value, float) and not math.isfinite(value):
            break
        return value
    near = difflib.get_close_matches(word, map(str, literals), n=1, cutoff=0.5)
    hint_text = f"; did you mean '{near[0]}'?" if near else ""
    allowed = ", ".join(_allowed(k) for k in kinds)
    raise ValueError(f"{where}: '{word}' is not allowed{hint_text} (allowed: {allowed})")


def _allowed(kind: Any) -> str:
    words = {int: "a whole number", float: "a finite number", bool: "true, false"}
    return words.get(kind, kind.__name__) if isinstance(kind, type) else str(kind)
