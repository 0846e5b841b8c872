"""The protocol: everything needed to have a run again, and its data."""

from __future__ import annotations

import base64
import gzip
import shlex
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from latentbench import __version__
from latentbench.config import EXECUTION_OPTIONS, Run
from latentbench.records import Reason
from latentbench.report.exports import tables
from latentbench.report.folder import RunFolder
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say
from latentbench.run_folder import RunFiles
from latentbench.stats.cells import summarise

ATTACHED = 500_000
"""Bytes up to which the packed records travel inside the page; beyond them the page points to the run folder."""
EACH = 6
"""Models up to which each says all its fields; of more, what all have in common is said once."""
CHUNK = 1 << 20
"""Bytes of a file that are read at once."""


JUDGE_ROWS = marked({
    "judge.accuracy": ("accuracy on real test images", "how well it tells the classes apart"),
    "judge.pass.real": ("real test images", "the ceiling of every validity"),
    "judge.junk_shown": ("most accepted of a kind shown to its training", "of the kinds tried; more cannot be said"),
    "judge.junk_unseen": ("most accepted of a kind never shown to it", "what it makes of junk it has not seen"),
})  # fmt: skip


JUDGES = marked({"judge": "judge", "judge:second": "second judge"})


SPLITS = marked(("train", "validation", "test"))


WHERE_FROM = marked({
    "train": "training samples", "val": "validation samples", "test": "test samples",
})  # fmt: skip


class JudgeRow(NamedTuple):
    """A line of the judge's self-check: what was shown, ``about`` what it stands for, the share each judge accepts, in
    percent; of a kind of junk whether it is a ``floor``, and whether the judge was ``shown`` it in training."""

    title: str
    about: str
    values: Sequence[str]
    floor: bool = False
    shown: bool = False


class Protocol(NamedTuple):
    """How one run was made: everything needed to have it again, and its data. ``trained``: the run trained its models, which
    were not brought from elsewhere; ``differing``: its options that are not at their defaults, None where that is not
    known."""

    run: RunFolder
    command: str
    trained: bool
    facts: Sequence[tuple[str, str]]
    differing: Sequence[tuple[str, str]] | None
    settings: Sequence[tuple[str, str]]
    versions: Sequence[tuple[str, str]]
    models: Sequence[tuple[str, str]]
    notes: Sequence[tuple[str, str]]
    judge: Sequence[JudgeRow]
    judges: Sequence[str]
    downloads: Sequence[tuple[str, str, str]]


def protocol(run: RunFolder) -> Protocol:
    """The protocol of one run."""
    detail = run.detail
    data, environment = detail.get("dataset") or {}, detail.get("environment") or {}
    sizes = data.get("sizes") or {}
    shape = " × ".join(map(str, data.get("shape") or [])) or say("unknown size")
    splits = (f"{say(k)} {v:,}".replace(",", words.THIN) for k, v in sizes.items() if isinstance(v, int))
    facts = [
        (say("run"), next((r.run for r in run.records if r.run), run.label)),
        (say("data"), say("{name}, images of {shape}", name=data.get("name", run.dataset), shape=shape)),
        (say("splits"), words.commas(splits)),
        *((say(WHERE_FROM[name]), words.reason(reason)) for name, reason in _origin(data)),
        (say("streamed"), streamed_note(data)),
        *((say("how the data were read"), words.reason(Reason.from_json(note))) for note in data.get("notes") or ()),
        *((say("precision"), words.reason(r)) for r in _precision(detail)),
        (say("data, sha256"), str(data.get("sha256") or run.dataset_hash)),
        ("latentbench", str(detail.get("version") or say("not recorded"))),
        (say("git revision"), str(detail.get("git") or say("none"))),
        (say("started"), str(detail.get("started") or say("not recorded"))),
        (say("took"), f"{words.number(float(detail['seconds']))}{words.THIN}s" if detail.get("seconds") else ""),
    ]
    versions = [(k, words.plain(v)) for k, v in _flat(environment)]
    models = _models({str(m): _counted(d) for m, d in (detail.get("models") or {}).items()})
    judge, judges = _judge(run)
    config = detail.get("config") or {}
    return Protocol(
        run, str(detail.get("command") or ""), "lr" in config, [(k, v) for k, v in facts if v], differing(detail),
        _settings(config), versions, models, noticed(detail), judge, judges, _downloads(run),
    )  # fmt: skip


def _precision(detail: Mapping[str, Any]) -> list[Reason]:
    """Why the run was trained in its precision, where it left that open."""
    found = detail.get("precision")
    reason = found.get("reason") if isinstance(found, Mapping) else None
    return [Reason.from_json(reason)] if isinstance(reason, Mapping) and "text" in reason else []


def _settings(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every option that changes a number, and of the others those that are not at their defaults."""
    kept = (k for k, v in config.items() if k not in EXECUTION_OPTIONS or not _is_default(k, v))
    return [(k, words.plain(config[k])) for k in kept if config[k] not in (False, [], None)]


def _is_default(option: str, value: Any) -> bool:
    default = Run.model_fields[option].get_default()
    return bool(value == (list(default) if isinstance(default, tuple) else default))


def differing(detail: Mapping[str, Any]) -> list[tuple[str, str]] | None:
    """The options of a run that change a number and are not at their defaults. What a data set has a default of its own for
    (latent size, epochs) is one where the command asks for it. None where it is not known what the defaults were: the run
    is of another version, or took options from a file or a study, or trained nothing."""
    config, command = detail.get("config") or {}, str(detail.get("command") or "")
    if detail.get("version") != __version__ or "lr" not in config:
        return None
    try:
        parts = shlex.split(command)
    except ValueError:
        parts = command.split()
    asked = {p.partition("=")[0].lstrip("-").replace("-", "_") for p in parts if p.startswith("--")}
    if not command or asked & {"config", "study"}:
        return None
    numbers = [k for k in Run.model_fields if k in config and k not in EXECUTION_OPTIONS]
    left_open = {k for k in numbers if Run.model_fields[k].get_default() is None}
    changed = [k for k in numbers if (k in asked if k in left_open else not _is_default(k, config[k]))]
    return [(k, words.plain(config[k])) for k in changed]


def _origin(data: Mapping[str, Any]) -> list[tuple[str, Reason]]:
    """Where the samples of each split come from, as the run's record says."""
    origin = data.get("origin") or {}
    return [(name, Reason.from_json(origin[name])) for name in WHERE_FROM if name in origin]


def _models(said: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a run says of each model; of more than `EACH` the fields that all have in common stand once, before them, and what
    a model has none of is left out."""
    params = [_params(d) for d in said.values()]
    common = {k: v for k, v in params[0].items() if all(p.get(k) == v for p in params)} if len(said) > EACH else {}
    if not common:
        return [(model, words.plain(d)) for model, d in said.items()]
    out = [(say("all {n} models", n=len(said)), words.plain({"params": common}))]
    for (model, d), fields in zip(said.items(), params, strict=True):
        own = {**d, "params": {k: v for k, v in fields.items() if k not in common}}
        out.append((model, words.plain({k: v for k, v in own.items() if v not in (None, {})})))
    return out


def _params(model: Any) -> Mapping[str, Any]:
    """The fields of a model as a run's record says them."""
    found = model.get("params") if isinstance(model, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _counted(model: Any) -> Any:
    """What a run says of a model, its number of parameters in full; what was noticed of it has a list of its own."""
    if not isinstance(model, Mapping):
        return model
    said = {k: v for k, v in model.items() if k != "notes"}
    parameters = model.get("parameters")
    return said if parameters is None else {**said, "parameters": words.count(parameters)}


def noticed(detail: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(model, sentence): what was noticed when the models of an evaluation were called."""
    out = []
    for model, about in (detail.get("models") or {}).items():
        notes = about.get("notes") if isinstance(about, Mapping) else None
        for note in notes if isinstance(notes, list) else []:
            if isinstance(note, Mapping) and note.get("text"):
                values = note.get("values")
                code = str(note.get("code") or "")
                reason = Reason(str(note["text"]), code, values if isinstance(values, Mapping) else {})
                out.append((str(model), words.reason(reason)))
    return out


def streamed_note(data: Mapping[str, Any]) -> str:
    """What was measured on what, where the images did not fit in memory; empty where they did."""
    samples = (data.get("streamed") or {}).get("samples")
    if not samples:
        return ""
    return say(
        "models were trained on all training images, read from disk; the judge and the measures saw random samples of "
        "{train} training, {val} validation and {test} test images, memorisation and data copying all training images",
        **{name: f"{samples.get(name, 0):,}".replace(",", words.THIN) for name in ("train", "val", "test")},
    )


def _flat(environment: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Names and values, one level of nesting opened."""
    out: list[tuple[str, Any]] = []
    for key, value in environment.items():
        out += list(value.items()) if isinstance(value, Mapping) else [(key, value)]
    return out


def _judge(run: RunFolder) -> tuple[list[JudgeRow], list[str]]:
    """The self-check: a row a quantity, a column a judge."""
    rows = [c for c in summarise(run.records) if c.role == "judge"]
    judges = list(dict.fromkeys(c.model for c in rows))
    out = []
    for metric in dict.fromkeys(c.metric for c in rows):
        by_judge = {c.model: c for c in rows if c.metric == metric}
        values = [_judge_value(by_judge.get(j)) for j in judges]
        if metric in JUDGE_ROWS:
            title, about = map(say, JUDGE_ROWS[metric])
            out.append(JudgeRow(title, about, values))
            continue
        detail = {k: v for c in by_judge.values() for d in c.details.values() for k, v in d.items()}
        title = words.junk(metric.removeprefix("judge.pass."))
        out.append(JudgeRow(title, "", values, bool(detail.get("floor", True)), bool(detail.get("shown"))))
    return out, [say(JUDGES.get(j, j)) for j in judges]


def _judge_value(cell: Any) -> str:
    """A share in percent, without the sign."""
    if cell is None:
        return "—"
    if cell.interval is None:
        return say("{status}: {why}", status=say(cell.status), why=words.reason(cell.reason))
    if cell.unit in ("share", "accuracy", ""):
        return words.percent(cell.interval.mean).removesuffix(f"{words.THIN}%")
    return words.number(cell.interval.mean)


def _downloads(run: RunFolder) -> list[tuple[str, str, str]]:
    """(file name, size in words, data URI): the table as it is, the records compressed."""
    table = tables.results_csv(run.records).encode("utf-8")
    packed = _packed(RunFiles(run.path).records, ATTACHED)
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in run.label)
    files = [(f"{stem}-records.jsonl.gz", "application/gzip", packed)] if packed is not None else []
    if len(table) <= 300_000:
        files.insert(0, (f"{stem}-results.csv", "text/csv;charset=utf-8", table))
    else:
        files.insert(0, (f"{stem}-results.csv.gz", "application/gzip", gzip.compress(table, 9, mtime=0)))
    return [
        (name, words.engineering(len(raw), "B"), f"data:{kind};base64,{base64.b64encode(raw).decode('ascii')}")
        for name, kind, raw in files
    ]


def _packed(path: Path, most: int) -> bytes | None:
    """A file's content as gzip has it, without a time; None, as soon as that is known, where it takes more bytes."""
    squeeze, out = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16), b""
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            out += squeeze.compress(piece)
            if len(out) > most:
                return None
    out += squeeze.flush()
    return out if len(out) <= most else None


def _context(view: PageView) -> Context:
    return {"protocols": [protocol(run) for run in view.runs], "several": view.several}


TEXTS = marked({"copy": "Copy", "copied": "Copied", "press": "Press Ctrl-C"})
SECTION = Section("protocol", marked("Protocol"), "protocol.html.jinja", _context, order=1400, texts=TEXTS)
