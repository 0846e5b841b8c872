"""Run: what was asked. The only home of defaults; the TOML file and the command-line flags are derived from its fields.

A Run's *identity* is everything that changes a number; how it is carried out (workers, output folder, verbosity) is
not, and the field says so (`ExecutionOption`). Its id is a hash of the identity's canonical JSON, so the same question always has
the same name.

Nothing here loads torch: `latentbench --help` and a typo's refusal must be instant.
"""

from __future__ import annotations

import difflib
import re
import reprlib
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from latentbench.files.plain_text import CONTROL
from latentbench.files.record_types import NAME
from latentbench.records import digest
from latentbench.refusals import unknown

LANGUAGES = Path(__file__).parent / "report" / "wording" / "languages"
"""The catalogs of the report's languages other than English, a file each."""


def languages() -> tuple[str, ...]:
    """Codes of the languages that the report can be in."""
    return ("en", *sorted(path.stem for path in LANGUAGES.glob("*.po")))


if TYPE_CHECKING:
    Lang = str
else:
    Lang = Literal[languages()]


@dataclass(frozen=True)
class ExecutionOption:
    """Marks a field of Run that says how a run is carried out and changes none of its numbers. ``worker``: whoever computes
    a unit of the run has to know it all the same. ``repeatable``: on the command line it may stand several times."""

    worker: bool = False
    repeatable: bool = False


class Spec(NamedTuple):
    """A model as written on the command line, taken apart: ``vae:beta=4`` is name ``vae``, fields ``{"beta": "4"}``;
    ``package.module:MyModel:width=64`` is name ``package.module:MyModel``. ``text`` is the spec as given. What it means is
    looked up by `catalog.resolve_model`."""

    text: str
    name: str
    fields: Mapping[str, str]


def parse_spec(text: str) -> Spec:
    """Take a model spec apart. Raises ValueError where it is empty or a field is not ``key=value``.

    A second word without ``=`` names an object where the first is a dotted module or the second starts with a capital
    (``mine:MyModel``); else it is a field left without its value.
    """
    head, *rest = text.strip().split(":")
    if not head:
        raise ValueError(f"models: '{text}' is not a model spec; write name or name:field=value")
    if rest and "=" not in rest[0] and ("." in head or rest[0][:1].isupper()):
        head, rest = f"{head}:{rest[0]}", rest[1:]
    fields: dict[str, str] = {}
    for part in rest:
        key, equals, value = part.partition("=")
        if not (key and equals and value):
            raise ValueError(f"models: '{part}' in '{text}' is not field=value; write e.g. vae:beta=4")
        if key in fields:
            raise ValueError(f"models: field '{key}' stands twice in '{text}'")
        fields[key] = value
    return Spec(text.strip(), head, fields)


def parse_seeds(value: Any) -> Any:
    """Seeds from ``6`` (0 to 5), ``3-5``, ``0,2,7`` or a list. What is none of these is left for the type check."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) or (isinstance(value, str) and value.strip().isdecimal()):
        count = int(value) if isinstance(value, int) or len(value) <= 10 else 0
        if not 1 <= count <= 1000:
            raise ValueError(f"{reprlib.repr(value)} is not a number of seeds from 1 to 1000")
        return tuple(range(count))
    if not isinstance(value, str):
        return value
    if span := re.fullmatch(r"\s*(\d{1,10})\s*-\s*(\d{1,10})\s*", value):
        low, high = int(span[1]), int(span[2])
        if high < low or high - low >= 1000:
            raise ValueError(f"'{value}' is not a range A-B with A <= B and at most 1000 seeds")
        return tuple(range(low, high + 1))
    parts = [p.strip() for p in value.removesuffix(",").split(",")]  # "7," is the seed 7, where "7" is seven of them
    if not all(p.isdecimal() and len(p) <= 10 for p in parts):
        raise ValueError(f"'{value}' is not seeds: write a count N, a range A-B or a list a,b,c")
    return tuple(int(p) for p in parts)


UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
"""Sizes in bytes, each 1024 of the one before."""


def parse_memory(value: Any) -> Any:
    """Bytes from ``4GiB``, ``500MB`` or a number of bytes, written in the largest binary unit that makes it whole, so that
    equal sizes are equal words. What is neither is left for the type check."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return value
    # Python refuses to write out a number of thousands of digits.
    value = value if isinstance(value, str) or abs(value) < 2**63 else "too many bytes"
    match = re.fullmatch(r"(\d{1,18}(?:\.\d{1,18})?)\s*(?:([kmgt])(i?)b?|b)?", str(value).strip().lower())
    if match is None:
        raise ValueError(f"'{value}' is not a size: write e.g. 4GiB or 500MB")
    power = " kmgt".index(match[2] or " ")
    count = int(float(match[1]) * (1024 if match[3] else 1000) ** power)
    if not 2**20 <= count <= 2**50:
        raise ValueError(f"'{value}' is not a size from 1MiB to 1024TiB")
    unit = next(k for k in (4, 3, 2, 1, 0) if count % 1024**k == 0)
    return f"{count // 1024**unit}{UNITS[unit]}"


def parse_names(value: Any) -> Any:
    """A comma-separated string, or a list of names, as a tuple of names; what is neither is left for the type check."""
    if isinstance(value, str):
        value = value.split(",")
        if not all(p.strip() for p in value):
            raise ValueError("an empty name stands in it; write names with commas between them")
    return tuple(p.strip() if isinstance(p, str) else p for p in value) if isinstance(value, list | tuple) else value


def parse_folders(value: Any) -> Any:
    """A path, or a list of paths, as a tuple; a comma may be part of a path. What is neither is left for the type check."""
    if isinstance(value, str | Path):
        return (str(value),)
    return tuple(str(p) if isinstance(p, Path) else p for p in value) if isinstance(value, list | tuple) else value


URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
"""How what is no path of a file system begins."""
SHARDS = 10_000
"""Most shards of a run."""


def parse_shard(value: Any) -> Any:
    """``3/16``, the third of sixteen shards. What is no text is left for the type check."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*([0-9]{1,5})\s*/\s*([0-9]{1,5})\s*", value)
    if match is None or not 1 <= int(match[1]) <= int(match[2]) <= SHARDS:
        raise ValueError(f"write I/N, the shard I from 1 to N, of at most {SHARDS:,}: 3/16")
    return f"{int(match[1])}/{int(match[2])}"


def parse_address(value: Any) -> Any:
    """``auto``, or ``HOST:PORT``. What is no text is left for the type check."""
    if not isinstance(value, str) or value == "auto":
        return value
    host, _, port = value.rpartition(":")
    if not re.fullmatch(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+", host) or not re.fullmatch(r"[0-9]{1,5}", port):
        raise ValueError("write auto, or HOST:PORT of the cluster's head: 10.0.0.1:6379")
    if not 1 <= int(port) <= 65535:
        raise ValueError(f"{port} is no port: a number from 1 to 65535")
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(parse_names)]
Folders = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(parse_folders)]
Memory = Annotated[str, BeforeValidator(parse_memory)]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], BeforeValidator(parse_seeds)]


class Run(BaseModel):
    """One benchmark run. Fields left None take what the dataset asks for (`resolve`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    models: Names = Field(("ae", "vae"), min_length=1, description="model specs, comma-separated: ae, vae:beta=4, ...")
    dataset: str = Field(
        "digits",
        min_length=1,
        description="digits, lines, shapes, mnist, ..., or files: npz:PATH, folder:PATH, csv:PATH, ...",
    )
    latent_dim: int | None = Field(None, ge=1, le=4096, description="latent size d (digits: 8)")
    depth: int = Field(2, ge=0, le=16, description="hidden layers of encoder and decoder; 0 = linear")
    width: int | None = Field(None, ge=1, le=65536, description="units of a hidden layer (default: 256)")
    seeds: Seeds = Field(tuple(range(6)), min_length=1, description="a count N, a range A-B or a list a,b,c")
    epochs: int | None = Field(None, ge=1, le=100_000, description="maximum epochs")
    patience: int = Field(
        8,
        ge=0,
        le=100_000,
        description="epochs without improvement of the validation loss, then the rate falls to 0 over as many; 0 = no early stop",
    )
    batch_size: int | None = Field(None, ge=2, le=2**20, description="batch size")
    lr: float | None = Field(
        None, gt=0, le=10, allow_inf_nan=False, description="Adam's learning rate (default: 0.001, digits: 0.002)"
    )
    lr_warmup: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="share of the epochs over which the rate rises (default: 0, digits: 0.1)",
    )
    precision: Literal["float32", "bfloat16", "auto"] = Field(
        "float32",
        description="products in training steps; auto: bfloat16 where a trial says that it is faster and the loss the same",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where to train and measure")
    study: Annotated[str | None, ExecutionOption()] = Field(
        None, description="a named preset of these options, see 'list studies'"
    )
    metrics: Names = Field(
        (),
        description="metrics to measure, comma-separated: names, families as path.*, default, all (with those on request)",
    )
    split_seed: int = Field(0, ge=0, lt=2**31, description="seed of the train / validation / test split")
    splits: int = Field(
        1,
        ge=1,
        le=1000,
        description="random splits of the data to deal the seeds to, from split_seed on; intervals then cover the split too",
    )
    dedupe: bool = Field(
        False, description="keep one of equal images, the first: no test image that stands in train or validation"
    )
    data_root: Annotated[str, ExecutionOption(worker=True)] = Field(
        "data", min_length=1, description="folder in which downloaded data is looked for"
    )
    memory: Memory = Field(
        "4GiB", description="largest images held in memory, as float32; a larger folder:PATH is streamed from disk"
    )
    out: Annotated[str | None, ExecutionOption()] = Field(
        None, min_length=1, description="output folder (default: reports/<run id>; of 'measure': DIR-measured)"
    )
    workers: Annotated[int | None, ExecutionOption()] = Field(
        None, ge=1, le=1024, description="worker processes (default: one a core)"
    )
    executor: Annotated[str, ExecutionOption()] = Field(
        "local", min_length=1, description="what runs the units of work: local, ray, or the name of a plug-in"
    )
    address: Annotated[str | None, ExecutionOption(), BeforeValidator(parse_address)] = Field(
        None, min_length=1, description="the Ray cluster of --executor ray: auto (that of this machine) or HOST:PORT"
    )
    shard: Annotated[str | None, ExecutionOption(), BeforeValidator(parse_shard)] = Field(
        None, min_length=1, description="carry out job I of N of this run only, such as 3/8"
    )
    assemble: Annotated[bool, ExecutionOption()] = Field(
        False, description="put together a run whose jobs (--shard) are done, and compute nothing"
    )
    resume: Annotated[bool, ExecutionOption()] = Field(False, description="carry on an unfinished run")
    reuse: Annotated[Folders, ExecutionOption(repeatable=True)] = Field(
        (), description="take what was trained and measured before from this run folder; may be given several times"
    )
    cache: Annotated[bool, ExecutionOption()] = Field(
        True, description="keep the judge in the user's cache folder for the next run on the same data"
    )
    dry_run: Annotated[bool, ExecutionOption()] = Field(
        False, description="print the cells it would run and the expected time, then stop"
    )
    json_output: Annotated[bool, ExecutionOption()] = Field(
        False, alias="json", description="print a machine-readable result on stdout"
    )
    quiet: Annotated[bool, ExecutionOption()] = Field(False, description="no progress, only the result")
    verbose: Annotated[bool, ExecutionOption()] = Field(
        False, description="a line as each step begins and ends, with its time, instead of bars"
    )
    open_report: Annotated[bool, ExecutionOption()] = Field(
        False, alias="open", description="open the report in the browser when done"
    )
    lang: Annotated[Lang, ExecutionOption()] = Field("en", description="language of the report's prose")

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that changes a number, as plain JSON values."""
        return self.model_dump(mode="json", exclude=set(EXECUTION_OPTIONS))

    def by_split(self) -> tuple[Run, ...]:
        """This run as one for each split of the data, each with the seeds that are dealt to it in turn."""
        if self.splits == 1:
            return (self,)
        dealt = [self.seeds[k :: self.splits] for k in range(self.splits)]
        changed = ({"split_seed": self.split_seed + k, "splits": 1, "seeds": s} for k, s in enumerate(dealt))
        return tuple(self.model_copy(update=fields) for fields in changed)

    def for_worker(self) -> Run:
        """This run without what a worker need not know: the same for all ways of carrying it out."""
        kept = {n for n, how in EXECUTION_OPTIONS.items() if how.worker}
        return Run.model_validate(self.model_dump(by_alias=True, exclude=EXECUTION_OPTIONS.keys() - kept))

    @property
    def memory_bytes(self) -> int:
        """``memory`` as a number."""
        number = self.memory.rstrip("BKMGTi")
        return int(number) << 10 * UNITS.index(self.memory.removeprefix(number))

    @property
    def id(self) -> str:
        """The run's name: its dataset and models for the eye, a hash of its identity for the machine."""
        heads = "-".join(dict.fromkeys(re.split(r"[:.]", m)[0] for m in self.models))
        words = f"{self.dataset.split(':')[0]}-{heads}"[:40].strip("-")
        return f"{re.sub(r'[^A-Za-z0-9-]+', '-', words)}-{digest(self.identity, 8)}"

    def resolve(self, defaults: Mapping[str, Any]) -> Run:
        """This run with the fields the user left open filled from a dataset's ``defaults``, and what it has none for from
        `USUAL`."""
        return self.model_copy(update={k: v for k, v in {**USUAL, **defaults}.items() if getattr(self, k) is None})

    def to_toml(self) -> str:
        """The effective configuration as TOML, one commented key a line, fit for ``--config``."""
        import tomlkit

        document = tomlkit.document()
        document.add(tomlkit.comment("latentbench run --config THIS-FILE"))
        for key, value in self.model_dump(mode="json", by_alias=True, exclude_none=True).items():
            document.add(key, tomlkit.item(value).comment(describe(key)))
        return tomlkit.dumps(document)


USUAL: Mapping[str, float] = {"latent_dim": 16, "epochs": 50, "batch_size": 128, "lr": 1e-3, "lr_warmup": 0.0}
"""What is trained where neither the user nor the dataset says otherwise."""

EXECUTION_OPTIONS: Mapping[str, ExecutionOption] = {
    name: mark
    for name, about in Run.model_fields.items()
    for mark in about.metadata
    if isinstance(mark, ExecutionOption)
}
"""The fields that change no number, with their marks."""

SWITCHES = frozenset(f.alias or n for n, f in Run.model_fields.items() if f.annotation is bool)
"""Names of the options that are on or off."""


def option_name(field: str) -> str:
    """The name a field goes by in TOML and, with dashes, on the command line: its alias where it has one."""
    return Run.model_fields[field].alias or field


def execution_options() -> frozenset[str]:
    """The TOML names of the options that change no number of a run."""
    return frozenset(map(option_name, EXECUTION_OPTIONS))


def describe(key: str) -> str:
    """One line about an option, by its TOML name."""
    return next(f.description or "" for n, f in Run.model_fields.items() if option_name(n) == key)


def make_run(settings: Mapping[str, Any]) -> Run:
    """A Run from option names and values. Raises ValueError, one line for every bad key: the key, the value, what is
    allowed and the nearest right name."""
    run = _each_alone(settings)
    for name in ("models", "seeds", "metrics"):
        for item, times in Counter(getattr(run, name)).items():
            if times > 1:
                raise ValueError(f"{name}: {item} stands twice; each may stand once")
    for name in ("out", "data_root", "reuse"):
        for text in _texts(getattr(run, name)):
            if URL.match(text):
                raise ValueError(
                    f"{name}: {reprlib.repr(text)} is not allowed: name a folder of a file system, on a cluster one that all of its "
                    "nodes share"
                )
    if run.shard and run.assemble:
        raise ValueError(f"assemble: not with shard {run.shard}: put the run together when every shard is done")
    for text in run.models:
        parse_spec(text)
    if run.splits > len(run.seeds):
        raise ValueError(f"splits: {run.splits} is not allowed: there are {len(run.seeds)} seeds to deal to them")
    return run


def overruled(settings: Mapping[str, Any], by: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, those of ``by`` in place of the same ones. Raises ValueError for one that cannot be, also where it is
    replaced: it would come back as soon as it is not."""
    for key in settings.keys() & by.keys():
        _each_alone({key: settings[key]})
    return {**settings, **by}


def _each_alone(settings: Mapping[str, Any]) -> Run:
    """A Run whose every option is in order, whether or not they go together."""
    allowed = [option_name(f) for f in Run.model_fields]
    for key, value in settings.items():
        if key not in allowed:
            raise unknown("option", str(key), allowed)
        for item in value if isinstance(value, list | tuple) else (value,):
            if isinstance(item, bool) and key not in SWITCHES:  # nor for numbers
                raise ValueError(f"{key}: {str(item).lower()} is not allowed: it is no switch, it takes a value")
            if isinstance(item, bytes | bytearray):  # pydantic would take them for text
                raise ValueError(f"{key}: {reprlib.repr(item)} is not allowed: it is bytes, not text")
        for text in _texts(value):
            if text and not text.strip():
                raise ValueError(f"{key}: {text!r} is not allowed: it is blank")
            if len(text) > NAME or CONTROL.search(text):
                told = "a control character is in it" if len(text) <= NAME else f"more than {NAME} characters"
                raise ValueError(f"{key}: {reprlib.repr(text)} is not allowed: {told}")
    try:
        return Run.model_validate(dict(settings))
    except ValidationError as error:
        raise ValueError("; ".join(_explain(e) for e in error.errors(include_url=False))) from None


def _texts(value: Any) -> Iterator[str]:
    """The text of an option's value: itself, or that in its list."""
    for item in value if isinstance(value, list | tuple) else (value,):
        if isinstance(item, str | Path):
            yield str(item)


def check_field(where: str, name: str, value: Any) -> None:
    """Hold the value of a model's field to the bounds of the option of the same name, where there is one. Raises
    ValueError, beginning with ``where``."""
    about = Run.model_fields.get(name)
    if about is not None and value is not None:
        try:
            allowed: Any = Annotated[about.annotation, *about.metadata]
            TypeAdapter(allowed).validate_python(value)
        except ValidationError as error:
            message = str(error.errors(include_url=False)[0]["msg"])
            raise ValueError(
                f"{where}: {reprlib.repr(value)} is not allowed: {message[:1].lower()}{message[1:]}"
            ) from None
    if isinstance(value, int) and abs(value) > 2**53:
        raise ValueError(f"{where}: {reprlib.repr(value)} is not allowed: more than any number of things")


def _explain(error: Any) -> str:
    """One refusal of pydantic's in the house's form: ``key: value is not allowed: why``."""
    key = str(error["loc"][0])
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:] + _nearest(error)
    return f"{key}: {reprlib.repr(error['input'])} is not allowed: {message}"


MEANT = {
    "gpu": "cuda",
    "nvidia": "cuda",
    "fp32": "float32",
    "bf16": "bfloat16",
    "single": "float32",
    "chinese": "zh",
    "cn": "zh",
}
"""What people write -> what it is called here."""


def _nearest(error: Any) -> str:
    """The nearest of a few allowed words, where that is what was asked for."""
    if error["type"] != "literal_error":
        return ""
    allowed = re.findall(r"'([^']*)'", str(error["ctx"]["expected"]))
    if (meant := MEANT.get(str(error["input"]).lower())) in allowed:
        return f"; did you mean '{meant}'?"
    near = difflib.get_close_matches(str(error["input"]).lower(), allowed, n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""


TOML = 1 << 20
"""Most bytes of a configuration."""


def load_toml(path: str | Path) -> dict[str, Any]:
    """The settings of a TOML file. Raises ValueError naming the file where it is missing or not TOML."""
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise ValueError(f"config file {path} is no regular file")
        with Path(path).open("rb") as file:
            content = file.read(TOML + 1)
        if len(content) > TOML:
            raise ValueError(f"config file {path} is longer than {TOML >> 20} MiB")
        return tomllib.loads(content.decode("utf-8"))
    except RecursionError:
        raise ValueError(f"config file {path} is nested too deep") from None
    except OSError as error:
        raise ValueError(f"config file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"config file {path} is not TOML: {error}") from None
