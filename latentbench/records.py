"""Records: the border between measuring and everything derived from it.

A *Record* is one thing that came out of a run and says everything needed to understand it: which data (name and
content hash), which model with which parameters, which seed and split, which metric with which parameters, unit,
direction and bounds, whether it worked and, if not, why. `records.jsonl` holds one record a line and is the truth of
a run folder; the page, the tables and the verdicts are functions of it.

Kinds
    ``run``       one a run: the effective configuration, the environment and the command line, in ``detail``
    ``value``     one number of one metric
    ``curve``     a series in ``samples`` (a loss per epoch, a step curve)
    ``artifact``  a file of the run folder: ``metric`` is its role, ``path`` its place, ``sha256`` its content

Roles: what the thing named in ``model`` is to the run; nothing is told from the name itself
    ``model``     a model of the run, by its spec. A row that names none (the run's own, the data's pictures, the
                  machine's peak) keeps this default: `Record.is_model` asks for both
    ``baseline``  measured like a model and costs no training (``baseline:pca``)
    ``ceiling``, ``floor``, ``null``  what a metric reads on the run's own real images, on junk, and where nothing is wrong
    ``judge``     the judge and the second judge, on their own self-check
    ``check``     ``check:self``: 1 where a metric passed its self-check on its anchors, else 0 with the reasons in
                  ``detail["why"]``

Schema 1 had no role and told these apart by how ``model`` begins. The names are still written so, and `model_name` keeps
models from bearing them.

Standard library only (and `latentbench.files.durable`): records are read on machines with no torch, years later, of metrics no longer installed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import partial, wraps
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from latentbench.files import durable, record_types

SCHEMA = 2
"""Number of the record layout this version writes; `upgrade` lifts older ones to it."""

Kind = Literal["run", "value", "curve", "artifact"]
Status = Literal["ok", "failed", "skipped"]
Better = Literal["higher", "lower", "target", "none"]

Role = Literal["model", "baseline", "floor", "ceiling", "null", "judge", "check"]
ROLES: tuple[Role, ...] = get_args(Role)
ANCHORS: tuple[Role, ...] = ("ceiling", "floor", "null")
"""Roles of what a metric is read against, and the first words of its anchors' names: ``ceiling:real``."""
BY_SECOND = ".second_judge"
"""How the name of a metric ends that the second judge was asked for."""
JUDGE, SECOND_JUDGE, SELF_CHECK = "judge", "judge:second", "check:self"
"""What ``model`` says in the rows of the two judges and of a metric's self-check."""
OWN = "own"
"""What ``detail["prior"]`` says of a value that is about the prior a model was trained with, where that is not N(0, I)."""
JUNK_LIMIT = 0.05
"""Share of a floor, junk that any judge must refuse, that a judge may accept and still pass its self-check."""
LEAST_REAL = 0.5
"""Share of real held-out images that a judge must accept to pass its self-check."""
RESERVED = tuple(f"{role}:" for role in sorted(ROLES) if role != "model")
"""How no model's name may begin: so begin the names of what is no model."""
JOIN = "; "
"""What stands between several reasons, and between their codes."""
OPERATIONS = ("encode", "decode", "sample", "train_step")
"""What is timed of a model; its metric is ``throughput.`` and the operation."""
TIMINGS = ("throughput.", "train.seconds")
"""How the names of metrics start that depend on the machine's speed."""


class Reason(str):
    """Why there is no value: an English sentence that knows what it says. ``code`` is short and stays the same when the
    sentence is put better; ``values`` fill its places. With both it can be said in any language. Several reasons at
    once are ``parts`` of one, and their codes stand beside each other like their sentences: ``a; b``.

    A plain sentence (of a plug-in, of a record made before there were codes) has no code.
    """

    code: str
    values: Mapping[str, Any]
    parts: tuple[Reason, ...]

    def __new__(
        cls, text: str, code: str = "", values: Mapping[str, Any] | None = None, parts: tuple[Reason, ...] = ()
    ) -> Reason:
        """A sentence with its places filled, as a record holds it."""
        made = super().__new__(cls, text)
        made.code, made.values, made.parts = code, values or {}, parts
        return made

    @classmethod
    def of(cls, code: str, template: str, /, **values: Any) -> Reason:
        """The reason ``code``, said in English by ``template`` with its named places filled. Without values the template
        may hold any braces."""
        return cls(template.format(**values) if values else template, code, {k: _plain(v) for k, v in values.items()})

    @classmethod
    def raised(cls, text: str) -> Reason:
        """What an exception says: its own words in any language."""
        return cls(text, "failed.error", {"error": text})

    @classmethod
    def joined(cls, reasons: Iterable[str]) -> Reason:
        """Several reasons as one, each once: their sentences with "; " between them."""
        parts = tuple(r if isinstance(r, Reason) else cls(r) for r in dict.fromkeys(reasons))
        if len(parts) == 1:
            return parts[0]
        code = JOIN.join(dict.fromkeys(p.code for p in parts)) if all(p.code for p in parts) else ""
        return cls(JOIN.join(parts), code, {k: v for p in parts for k, v in p.values.items()}, parts)

    @property
    def recordable(self) -> bool:
        """Whether code and values say all there is: not where one name stands for two values in different parts."""
        return all(p.values.items() <= self.values.items() for p in self.parts)

    def to_json(self) -> dict[str, Any]:
        """As a file holds it beside others."""
        return {"text": str(self), "code": self.code, "values": dict(self.values)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Reason:
        """The inverse of `to_json`."""
        return cls.recorded(str(row["text"]), str(row.get("code") or ""), dict(row.get("values") or {}))

    @classmethod
    def recorded(cls, text: str, code: str, values: Mapping[str, Any]) -> Reason:
        """The reason that a record's three fields hold."""
        codes, texts = code.split(JOIN), text.split(JOIN)
        if len(codes) < 2 or len(codes) != len(texts):
            return cls(text, code, values)
        return cls(text, code, values, tuple(cls(t, c, values) for t, c in zip(texts, codes, strict=True)))


def _plain(value: Any) -> str | int | float:
    """A value as a file can hold it: a number that is none (nan, inf) as its name."""
    if isinstance(value, str | int):
        return value
    number = float(value)
    return number if math.isfinite(number) else str(number)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One self-describing result; see the module's docstring for the kinds.

    ``value`` is None unless ``status`` is ``ok`` and is never NaN or infinite. ``bounds`` are the metric's lowest and
    highest possible value (None: unbounded). ``better`` says which direction is good; ``target`` means closest to
    ``target``. ``role`` is what ``model`` names. ``samples`` are raw numbers behind the value (times, per-pair values),
    ``detail`` small named extras. ``reason`` says in English why there is no value; given as a `Reason` it fills
    ``reason_code`` and ``reason_values``, from which it can be said in any language (empty in records made before there
    were codes).
    """

    kind: Kind = "value"
    dataset: str = ""
    dataset_hash: str = ""
    model: str = ""
    role: Role = "model"
    params: Mapping[str, Any] = field(default_factory=dict)
    latent_dim: int | None = None
    seed: int | None = None
    split: str = ""
    metric: str = ""
    metric_params: Mapping[str, Any] = field(default_factory=dict)
    value: float | None = None
    unit: str = ""
    better: Better = "none"
    target: float | None = None
    bounds: tuple[float | None, float | None] = (None, None)
    status: Status = "ok"
    reason: str = ""
    reason_code: str = ""
    reason_values: Mapping[str, Any] = field(default_factory=dict)
    samples: tuple[float, ...] | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    path: str | None = None
    sha256: str | None = None
    run: str = ""
    environment: str = ""
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"record {self.model}/{self.metric}: role {self.role!r} is not one of {', '.join(ROLES)}")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"record {self.model}/{self.metric}: value {self.value} is not a finite number")
        if self.value is not None and self.status != "ok":
            raise ValueError(f"record {self.model}/{self.metric}: status {self.status} carries no value")
        if isinstance(self.reason, Reason):
            known = bool(self.reason.code) and self.reason.recordable
            object.__setattr__(self, "reason_code", self.reason.code if known else "")
            object.__setattr__(self, "reason_values", self.reason.values if known else {})
        elif self.reason:
            reason = Reason.recorded(self.reason, self.reason_code, self.reason_values)
            object.__setattr__(self, "reason", reason)

    @property
    def is_reference(self) -> bool:
        """True for baselines, floors, ceilings, null values and self-checks: what models are read against."""
        return is_reference(self.role)

    @property
    def is_model(self) -> bool:
        """True where a model of the run is named: no reference, no judge, not the run as a whole."""
        return is_model(self.role, self.model)

    @property
    def is_timing(self) -> bool:
        """True where the value depends on the machine's speed and so differs between equal runs."""
        return self.metric.startswith(TIMINGS)

    def to_json(self) -> str:
        """One line of JSON, keys in the order of the fields, empty ones left out, never NaN."""
        row = {name: getattr(self, name) for name in FIELDS}
        kept = {k: v for k, v in row.items() if k in ("kind", "schema") or v not in (None, "", {}, (None, None))}
        return json.dumps(kept, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=dict)

    @classmethod
    def from_json(cls, line: str) -> Record:
        """The record of one line; older layouts are upgraded, unknown keys of newer ones ignored. Raises ValueError where a
        field holds what it may not: see `record_types`."""
        parsed = record_types.parse(line)
        if not isinstance(parsed, dict):
            raise ValueError(f"not a latentbench record: a {type(parsed).__name__} instead of an object")
        row = upgrade(parsed)
        row = {k: v for k, v in row.items() if k in _KNOWN}
        record_types.check(row)
        for name in ("bounds", "samples"):
            if row.get(name) is not None:
                row[name] = tuple(row[name])
        return cls(**row)


FIELDS = tuple(f.name for f in fields(Record))
"""The names of a record's fields, in order."""

_KNOWN = frozenset(FIELDS)

Found = TypeVar("Found")


class Lasting:
    """What stays as it is, with what was worked out of it: many sections of a page ask for the same."""

    def once(self, name: Hashable, work: Callable[[], Found]) -> Found:
        """What ``work`` finds here, found at the first call under this name."""
        found: dict[Any, Any] = self.__dict__.setdefault("_found", {})
        if name not in found:
            found[name] = work()
        return found[name]  # type: ignore[no-any-return]


Whole = TypeVar("Whole", bound=Lasting)


def once(work: Callable[[Whole], Found]) -> Callable[[Whole], Found]:
    """A function of one lasting thing that works once for each: a decorator."""

    @wraps(work)
    def found(of: Whole) -> Found:
        return of.once(work, partial(work, of))

    return found


class Kept(Lasting, tuple[Record, ...]):
    """Records that stay as they are."""


def upgrade(row: dict[str, Any]) -> dict[str, Any]:
    """A row of any earlier layout in the present one. Raises ValueError for a row of a later one."""
    schema = row.get("schema", 0)
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise ValueError(f"not a latentbench record: schema is {schema!r}, expected a number from 1 to {SCHEMA}")
    if schema > SCHEMA:
        raise ValueError(f"record schema {schema} is newer than this version reads ({SCHEMA}): update latentbench")
    return row if schema == SCHEMA else {**row, "role": _named_role(str(row.get("model") or "")), "schema": SCHEMA}


def _named_role(model: str) -> Role:
    """The role that a name of schema 1 stood for."""
    if model == "judge":
        return "judge"
    return next((role for role in ROLES if role != "model" and model.startswith(f"{role}:")), "model")


def is_reference(role: Role) -> bool:
    """Whether a row of this role is one that models are read against; a judge is an instrument and no reference."""
    return role not in ("model", "judge")


def is_model(role: Role, model: str) -> bool:
    """Whether a row of this role and name is about a model of the run."""
    return role == "model" and model != ""


def anchor_role(name: str) -> Role:
    """What an anchor of a metric is, by its name ``kind:name``. Raises ValueError where the kind is none of ``ANCHORS``."""
    kind, colon, rest = name.partition(":")
    for role in ANCHORS:
        if kind == role and colon and rest:
            return role
    raise ValueError(f"anchor '{name}' is not named kind:name (kinds: {', '.join(ANCHORS)})")


def model_name(what: str, name: str) -> str:
    """The name, where a model may bear it; ``what`` says in a refusal what it is the name of. Raises ValueError for an
    empty one and for one that stands for a reference or a judge in every run."""
    bare = name.strip()
    if not bare:
        raise ValueError(f"{what}: '{name}' is not allowed: a model needs a name")
    record_types.label(what, name)
    if reserved := "judge" if bare == "judge" else next((word for word in RESERVED if bare.startswith(word)), ""):
        words = ", ".join(f"'{word}'" for word in RESERVED)
        raise ValueError(
            f"{what}: '{name}' is not allowed: '{reserved}' is reserved for what models are measured with and read "
            f"against (allowed: any name but 'judge' that does not begin with one of {words})"
        )
    return name


def read(path: Path) -> list[Record]:
    """All records of a JSON-lines file. Raises ValueError naming file and line where one cannot be read."""
    out = []
    with path.open("rb") as file:
        for number, line in enumerate(iter(partial(file.readline, record_types.LINE), b""), 1):
            if not line.strip():
                continue
            try:
                if len(line) == record_types.LINE:
                    raise ValueError(f"longer than {record_types.LINE >> 20} MiB")
                out.append(Record.from_json(line.decode("utf-8")))
            except (ValueError, TypeError) as error:
                raise ValueError(f"{path}, line {number}: {error}") from None
    return out


def write(path: Path, records: Iterable[Record]) -> None:
    """Write records as JSON lines, atomically."""
    write_text(path, "".join(r.to_json() + "\n" for r in records))


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all: see `latentbench.files.durable`."""
    durable.write_bytes(path, text.encode("utf-8"))


CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=dict)


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal content, equal text, hence equal hash."""
    return CANONICAL.encode(value)


class Texts:
    """Canonical texts of parameters, of which most records of a run have the same few: each is written once."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __call__(self, params: Mapping[str, Any]) -> str:
        """What `canonical` makes of them."""
        shown = repr(params)
        if shown not in self._known:
            self._known[shown] = canonical(params)
        return self._known[shown]


def digest(value: Any, length: int = 12) -> str:
    """The first ``length`` hex digits of the sha256 of ``value``'s canonical JSON."""
    return hashlib.sha256(canonical(value).encode("utf-8")).hexdigest()[:length]


def file_digest(path: Path) -> str:
    """The sha256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def values(records: Iterable[Record]) -> Iterator[Record]:
    """Only the records of kind ``value``."""
    return (r for r in records if r.kind == "value")


def run_record(records: Iterable[Record]) -> Record | None:
    """Find the run's own record, None where a file holds none; `run_info` says what is in it."""
    return next((r for r in records if r.kind == "run"), None)


def same_data(base: Iterable[Record], head: Iterable[Record]) -> None:
    """Refuse other content under the same name, with a ValueError: whatever became worse could be the data's doing."""
    ours: dict[str, dict[str, None]] = {}
    for r in base:
        if r.dataset and r.dataset_hash:
            ours.setdefault(r.dataset, {})[r.dataset_hash] = None
    for r in head:
        if r.dataset_hash and r.dataset_hash not in ours.get(r.dataset, {r.dataset_hash: None}):
            hashes = f"{next(iter(ours[r.dataset]))[:12]} against {r.dataset_hash[:12]}"
            raise ValueError(f"compare: other data under the name '{r.dataset}': dataset_hash {hashes}")
