"""Records -> one HTML file. This module gathers what the template prints; everything it gathers is a function of the
run folders alone, so equal folders give an equal page, byte for byte.

The page asks nothing of any host: scripts, styles, images and data are inside it, and a content security policy in
its head lets the browser itself enforce that. All text is escaped by the template; the few pieces that are not text
(drawings, scripts, data) are built as Markup by functions that escape what they are given.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from markupsafe import Markup, escape

from latentbench.report import (
    across,
    atlas,
    bands,
    exhibits,
    figures,
    images,
    maps,
    scores,
    story,
    tables,
    verdict,
    words,
)
from latentbench.report.exhibits import MapView
from latentbench.report.folder import Absent, RunFolder
from latentbench.report.language import marked, plural, say, spoken
from latentbench.report.scores import Column
from latentbench.stats import summarise

HERE = Path(__file__).parent
ATTACHED = 500_000
"""Bytes up to which the packed records travel inside the page; beyond them the page points to the run folder."""

MANY = 6
"""Models named at the head of the page where it has more than twice as many."""
PICTURED = 5
"""Models of one run that are shown in pictures, the first asked for; more would make a page that nobody can send."""
QUESTIONS = marked({
    "continuous": ("Is it continuous?", "Two close latent points should decode to similar, meaningful images."),
    "complete": ("Is it complete?", "A point drawn from the prior should decode to something meaningful."),
    "cost": ("What did it cost?", "Regularising a latent space takes something from reconstruction and time."),
    "posterior": ("Why mu and sigma?", "What the cloud around each code does that a point cannot."),
    "how sure": ("How sure is this?", "What these answers rest on."),
})  # fmt: skip
JUDGE_ROWS = marked({
    "judge.accuracy": ("Accuracy on real test images", "how well it tells the classes apart"),
    "judge.pass.real": ("Accepts of real test images", "the ceiling of every validity"),
    "judge.pass.noise": ("Accepts of uniform noise", "a floor; above 5 % the self-check fails"),
    "judge.pass.gaussian_noise": ("Accepts of Gaussian noise", "a floor; above 5 % the self-check fails"),
    "judge.pass.shuffle": ("Accepts of images with shuffled pixels", "a floor; above 5 % the self-check fails"),
    "judge.pass.mean": ("Accepts of the mean image", "a floor; above 5 % the self-check fails"),
})  # fmt: skip
JUDGES = marked({"judge": "judge", "judge:second": "second judge"})
SPLITS = marked(("train", "validation", "test"))
DIRECTIONS = {
    "higher": marked("direction: higher"),
    "lower": marked("direction: lower"),
    "target": marked("direction: closest to {target}"),
    "none": marked("direction: describes"),
}
NO_DEFINITION = marked("no definition recorded")
MONTHS = marked((
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
))  # fmt: skip
SCRIPT = marked({
    "copy": "Copy",
    "copied": "Copied",
    "press": "Press Ctrl-C",
    "image": "test image {index}, {name}",
    "pinned": "Pinned images appear here.",
    "many": "The first 24 of {n} chosen images.",
})  # fmt: skip
"""What the page's own script says, by the names it knows it by."""


class Answer(NamedTuple):
    """One question with its answer in a sentence and the sentences that carry the numbers."""

    key: str
    question: str
    meaning: str
    headline: str
    sentences: Sequence[str]
    run: str


class MapSection(NamedTuple):
    """The maps of one run: still drawings, legend, and what the page's script needs to bring them to life."""

    run: RunFolder
    maps: Sequence[MapView]
    missing: Sequence[str]
    legend: Sequence[tuple[int, str, int, Markup]]
    sprite: str
    style: Markup
    data: Markup
    points: int


class Card(NamedTuple):
    """One model's part of a section: what to draw, or the sentence why not."""

    column: Column
    content: Any
    missing: str


class Definition(NamedTuple):
    """A measure as this page's runs defined it."""

    metric: str
    summary: str
    source: str
    unit: str
    direction: str
    params: str


class Protocol(NamedTuple):
    """How one run was made: everything needed to have it again, and its data."""

    run: RunFolder
    command: str
    facts: Sequence[tuple[str, str]]
    settings: Sequence[tuple[str, str]]
    versions: Sequence[tuple[str, str]]
    models: Sequence[tuple[str, str]]
    judge: Sequence[tuple[str, str, Sequence[str]]]
    judges: Sequence[str]
    downloads: Sequence[tuple[str, str, str]]


def html(runs: Sequence[RunFolder]) -> str:
    """The whole page of these runs."""
    columns = scores.columns(runs)
    pictured = [c for run in runs for c in [c for c in columns if c.run is run][:PICTURED]]
    sections = [_map_section(run, [c for c in pictured if c.run is run], i) for i, run in enumerate(runs)]
    speeds, no_speed = _speeds(pictured)
    rebuilt, not_rebuilt = exhibits.reconstructions(pictured)
    context = {
        "title": _title(runs),
        "language": spoken(),
        "texts": json.dumps({name: say(text) for name, text in SCRIPT.items()}, ensure_ascii=False),
        "runs": runs,
        "several": len(runs) > 1,
        "facts": _facts(runs, columns),
        "stories": story.tell(runs, columns),
        "answers": _answers(runs),
        "columns": columns,
        "tables": scores.tables(columns),
        "across": across.lines(runs, columns),
        "published": [(run, found) for run in runs if (found := bands.beside(run.records))],
        "band_row": bands.row,
        "band_headers": bands.headers(),
        "maps": sections,
        "live": any(s.maps for s in sections),
        "unpictured": [c.label for c in columns if c not in pictured],
        "strips": _paired(pictured),
        "samples": _cards(pictured, exhibits.draws),
        "atlases": _cards(pictured, atlas.atlas),
        "posteriors": _cards(pictured, exhibits.posterior),
        "rebuilt": rebuilt,
        "not_rebuilt": not_rebuilt,
        "training": _cards(pictured, exhibits.training),
        "speeds": speeds,
        "no_speed": no_speed,
        "costs": _costs(columns),
        "peaks": _peaks(runs),
        "definitions": _definitions(runs),
        "protocols": [_protocol(run) for run in runs],
        "style": Markup((HERE / "style.css").read_text("utf-8")),
        "script": Markup((HERE / "page.js").read_text("utf-8")),
    }
    context["library"] = Markup(maps.library()) if context["live"] else Markup("")
    return environment().get_template("page.html.jinja").render(context)


def environment() -> jinja2.Environment:
    """Where templates come from and what they may call; text is escaped, and a name that is not there is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.globals.update(shown_size=images.shown_size, say=_say, plural=_plural, told=say)
    return made


def _say(text: str, /, **places: object) -> Markup:
    """`say` for the sentences of the template: they may hold tags, what fills their places is escaped. A text that does
    not stand in the template itself is never given to this but to ``told``, whose answer is escaped."""
    told = Markup(say(text))
    return told.format(**places) if places else told


def _plural(one: str, many: str, count: int, /, **places: object) -> Markup:
    """`plural` for the template."""
    return Markup(plural(one, many, count, **{name: escape(value) for name, value in places.items()}))


def _title(runs: Sequence[RunFolder]) -> str:
    data = words.listed(list(dict.fromkeys(r.dataset for r in runs if r.dataset)))
    models = words.listed(list(dict.fromkeys(m for r in runs for m in r.models)))
    return say("{models} on {data}", models=models or say("Latent spaces"), data=data or say("unnamed data"))


def _facts(runs: Sequence[RunFolder], columns: Sequence[Column]) -> list[tuple[str, str]]:
    """What the reader must know to read anything below, in a line."""
    out = [(say("data"), words.listed(list(dict.fromkeys(r.dataset for r in runs if r.dataset))))]
    labels = [c.label for c in columns]
    some = say("{n} models: {some} …", n=len(labels), some=say(", ").join(labels[:MANY]))
    out.append((say("models"), some if len(labels) > 2 * MANY else words.listed(labels)))
    sizes = list(dict.fromkeys(str(c.latent_dim) for c in columns if c.latent_dim is not None))
    out.append((say("latent size d"), words.listed(sizes)))
    seeds = list(dict.fromkeys(str(len(r.seeds)) for r in runs if r.seeds))
    out.append((say("seeds"), words.listed(seeds)))
    days = list(dict.fromkeys(d for r in runs if (d := _day(r.detail.get("started")))))
    out.append((say("made"), words.listed(days)))
    return [(k, v) for k, v in out if v]


def _day(started: object) -> str:
    try:
        day = datetime.fromisoformat(str(started))
    except ValueError:
        return ""
    return say("{day} {month} {year}", day=day.day, month=say(MONTHS[day.month - 1]), year=day.year)


def _answers(runs: Sequence[RunFolder]) -> list[Answer]:
    out = []
    for run in runs:
        for v in verdict.verdicts(run.records):
            question, meaning = map(say, QUESTIONS.get(v.question, (v.question.capitalize(), "")))
            headline = _capital(v.parts[1], run.models)
            out.append(Answer(v.question, question, meaning, headline, v.sentences, run.label))
    order = list(QUESTIONS)
    return sorted(out, key=lambda a: order.index(a.key) if a.key in order else len(order))


def _capital(sentence: str, models: Sequence[str]) -> str:
    """A sentence with a capital, unless it opens with a model's name."""
    return sentence if sentence.startswith(tuple(models)) else sentence[:1].upper() + sentence[1:]


def _cards(columns: Sequence[Column], make: Any) -> list[Card]:
    """A section's content for every model, or why there is none."""
    out = []
    for column in columns:
        try:
            out.append(Card(column, make(column), ""))
        except Absent as reason:
            out.append(Card(column, None, str(reason)))
        except (IndexError, ValueError, TypeError) as error:
            text = marked("Not drawn: the arrays of {model} do not fit together ({error}).")
            out.append(Card(column, None, say(text, model=column.label, error=error)))
    return out


def _paired(columns: Sequence[Column]) -> tuple[list[tuple[str, list[tuple[Column, exhibits.Path]]]], list[str]]:
    """Interpolations grouped by pair, so that the models' paths between the same two images stand side by side."""
    cards = _cards(columns, exhibits.paths)
    pairs: dict[tuple[int, str], list[tuple[Column, exhibits.Path]]] = {}
    for card in cards:
        for i, path in enumerate(card.content or ()):
            pairs.setdefault((i, path.title), []).append((card.column, path))
    ordered = sorted(pairs.items(), key=lambda item: item[0][0])
    return [(title, members) for (_, title), members in ordered], [c.missing for c in cards if c.missing]


def _speeds(columns: Sequence[Column]) -> tuple[exhibits.Speeds | None, str]:
    try:
        return exhibits.speeds(columns), ""
    except Absent as reason:
        return None, str(reason)


def _costs(columns: Sequence[Column]) -> list[tuple[Column, Sequence[str]]]:
    """Parameters, FLOPs and training of each model, as recorded."""
    out: list[tuple[Column, Sequence[str]]] = []
    for column in columns:
        found = {
            c.metric: c.interval.mean for c in summarise(column.run.records) if c.model == column.model and c.interval
        }
        declared = (column.run.detail.get("models") or {}).get(column.model) or {}
        parameters = found.get("cost.parameters", declared.get("parameters"))
        row = [
            words.engineering(parameters),
            words.engineering(found.get("cost.flops.encode"), "FLOP"),
            words.engineering(found.get("cost.flops.decode"), "FLOP"),
            words.number(found.get("train.epochs")),
            f"{words.number(found['train.seconds'])}{words.THIN}s" if "train.seconds" in found else "—",
        ]
        if any(v != "—" for v in row):
            out.append((column, row))
    return out


def _peaks(runs: Sequence[RunFolder]) -> list[str]:
    """The measured matrix-product peak that shares of peak are shares of."""
    return [
        say(
            "{speed} on {device}",
            speed=words.engineering(r.value, "FLOP/s"),
            device=r.metric_params.get("device") or say("this device"),
        )
        + (f" ({run.label})" if len(runs) > 1 else "")
        for run in runs
        for r in run.records
        if r.metric == "throughput.matmul_peak" and r.value is not None
    ]


def _map_section(run: RunFolder, columns: Sequence[Column], number: int) -> MapSection:
    """The maps of one run. The still drawing of each always stands; the interactive one needs the shared points."""
    sprite = f"--sprite-{number}"
    try:
        data = run.artifact("data")
        thumbs = data.need("thumbs", (3, 4))
        label, names = exhibits.classes_of(run, len(thumbs))
    except Absent as reason:
        return MapSection(run, [], [str(reason)], [], sprite, Markup(""), Markup(""), 0)
    views, live, middles, missing = [], [], [], []
    for column in columns:
        try:
            held = run.artifact("map", column.model)
            xy = np.asarray(held.need("xy", 2), float)
            if xy.shape != (len(thumbs), 2) or not np.isfinite(xy).all():
                text = marked("Not drawn: the map of {model} does not hold {n} finite points.")
                raise Absent(say(text, model=column.label, n=len(thumbs)))
        except Absent as reason:
            missing.append(str(reason))
            continue
        trust, k = held.detail.get("trustworthiness"), held.detail.get("k")
        said = say(", trustworthiness {trust}", trust=words.number(trust, 3)) if trust is not None else ""
        text = marked("UMAP of the latent space of {model}: {n} held-out images{trust}.")
        name = say(text, model=column.label, n=len(xy), trust=said)
        middle = exhibits.centres(xy, label, names)
        still = figures.still_map(xy, label, names, middle, name)
        views.append(MapView(column, still, words.number(trust, 3) if trust is not None else "", str(k or ""), len(xy)))
        live.append(maps.Map(column.model, xy, name))
        middles.append(middle)
    legend = exhibits.legend(label, names)
    if not views:
        return MapSection(run, [], missing, legend, sprite, Markup(""), Markup(""), len(thumbs))
    sheet = images.sprite(thumbs)
    index = data.arrays.get("index", np.arange(len(thumbs)))
    document = maps.interactive(live, label, names, index, sheet, sprite, middles)
    height, width = images.shown_size(sheet.tile_height, sheet.tile_width, 56)
    return MapSection(
        run, views, missing, legend, sprite,
        Markup(f":root{{{sprite}:url({sheet.picture.uri})}}"),
        script_data({
            "document": document.document, "roots": list(document.roots), "sprite": sprite,
            "tile": [width, height], "sheet": [width * sheet.columns, height * sheet.rows],
        }),
        len(thumbs),
    )  # fmt: skip


def script_data(value: Any) -> Markup:
    """JSON fit to stand inside a script element: no ``<``, ``>`` or ``&`` that could end it or start another."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _definitions(runs: Sequence[RunFolder]) -> list[Definition]:
    """Every measure the runs declared, then those that only records name."""
    found: dict[str, Definition] = {}
    for run in runs:
        for metric, d in (run.detail.get("definitions") or {}).items():
            found.setdefault(metric, _definition(metric, d))
        for r in run.records:
            if r.kind == "value" and not r.metric.startswith(("throughput.", "judge.")) and r.metric not in found:
                declared = {"unit": r.unit, "better": r.better, "target": r.target, "params": r.metric_params}
                own = words.own_definition(r.metric)
                found[r.metric] = _definition(r.metric, {**declared, "summary": own})
    return list(found.values())


def _definition(metric: str, d: Mapping[str, Any]) -> Definition:
    better, target = str(d.get("better", "none")), d.get("target")
    aim = f"{target:g}" if isinstance(target, int | float) else ""
    direction = say(DIRECTIONS["none" if better == "target" and not aim else better], target=aim)
    params = dict(d.get("params") or {})
    return Definition(
        metric, say(str(d.get("summary") or NO_DEFINITION)), str(d.get("source") or ""), say(str(d.get("unit") or "")),
        direction, words.plain(params) if params else "",
    )  # fmt: skip


def _protocol(run: RunFolder) -> Protocol:
    detail = run.detail
    data, environment = detail.get("dataset") or {}, detail.get("environment") or {}
    sizes = data.get("sizes") or {}
    shape = " × ".join(map(str, data.get("shape") or [])) or say("unknown size")
    splits = (f"{say(k)} {v:,}".replace(",", words.THIN) for k, v in sizes.items() if isinstance(v, int))
    facts = [
        (say("run"), next((r.run for r in run.records if r.run), run.label)),
        (say("data"), say("{name}, images of {shape}", name=data.get("name", run.dataset), shape=shape)),
        (say("splits"), words.commas(splits)),
        (say("streamed"), _streamed(data)),
        (say("data, sha256"), str(data.get("sha256") or run.dataset_hash)),
        ("latentbench", str(detail.get("version") or say("not recorded"))),
        (say("git revision"), str(detail.get("git") or say("none"))),
        (say("started"), str(detail.get("started") or say("not recorded"))),
        (say("took"), f"{words.number(float(detail['seconds']))}{words.THIN}s" if detail.get("seconds") else ""),
    ]
    versions = [(k, words.plain(v)) for k, v in _flat(environment)]
    models = [(str(m), words.plain(d)) for m, d in (detail.get("models") or {}).items()]
    judge, judges = _judge(run)
    return Protocol(
        run, str(detail.get("command") or ""), [(k, v) for k, v in facts if v],
        [(k, words.plain(v)) for k, v in (detail.get("config") or {}).items()], versions, models, judge, judges,
        _downloads(run),
    )  # fmt: skip


def _streamed(data: Mapping[str, Any]) -> str:
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


def _judge(run: RunFolder) -> tuple[list[tuple[str, str, list[str]]], list[str]]:
    """The self-check: a row a quantity, a column a judge."""
    rows = [c for c in summarise(run.records) if c.model.split(":")[0] == "judge"]
    judges = list(dict.fromkeys(c.model for c in rows))
    out = []
    for metric in dict.fromkeys(c.metric for c in rows):
        title, about = map(say, JUDGE_ROWS.get(metric, (metric, "")))
        found = {c.model: c for c in rows if c.metric == metric}
        out.append((title, about, [_judge_value(found.get(j)) for j in judges]))
    return out, [say(JUDGES.get(j, j)) for j in judges]


def _judge_value(cell: Any) -> str:
    if cell is None:
        return "—"
    if cell.interval is None:
        return say("{status}: {why}", status=say(cell.status), why=words.reason(cell.reason))
    return (
        words.percent(cell.interval.mean)
        if cell.unit in ("share", "accuracy", "")
        else words.number(cell.interval.mean)
    )


def _downloads(run: RunFolder) -> list[tuple[str, str, str]]:
    """(file name, size in words, data URI): the table as it is, the records compressed."""
    table = tables.results_csv(run.records).encode("utf-8")
    packed = gzip.compress((run.path / "records.jsonl").read_bytes(), 9, mtime=0)
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in run.label)
    files = [(f"{stem}-records.jsonl.gz", "application/gzip", packed)] if len(packed) <= ATTACHED else []
    if len(table) <= 300_000:
        files.insert(0, (f"{stem}-results.csv", "text/csv;charset=utf-8", table))
    else:
        files.insert(0, (f"{stem}-results.csv.gz", "application/gzip", gzip.compress(table, 9, mtime=0)))
    return [
        (name, words.engineering(len(raw), "B"), f"data:{kind};base64,{base64.b64encode(raw).decode('ascii')}")
        for name, kind, raw in files
    ]
