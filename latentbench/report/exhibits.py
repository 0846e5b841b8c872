"""What the page shows beside its numbers, as plain values for the template: strips, samples, posteriors,
reconstructions, training, speed. Each function reads one model of one run and raises `Absent` with the sentence to
print where the run holds no such picture.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.report import figures, images, svg, words
from latentbench.report.folder import Absent, Array, Arrays, RunFolder
from latentbench.report.images import Picture
from latentbench.report.language import marked, plural, say
from latentbench.report.scores import Column
from latentbench.report.verdict.posterior import FAR, PUNCTUAL
from latentbench.stats import Cell, summarise

STRIPS = 6
SAMPLES = 40
KINDS = marked({
    "encode": ("Encode", "images to posteriors"),
    "decode": ("Decode", "latent points to images"),
    "sample": ("Sample", "draw from N(0, I) and decode"),
    "train_step": ("Train step", "loss, gradient and update of one batch"),
})  # fmt: skip
CONDITIONS = (
    ("blocks", marked("{n} timed block each"), marked("{n} timed blocks each")),
    ("threads", marked("{n} thread"), marked("{n} threads")),
    ("load", marked("load average {n} at the start"), marked("load average {n} at the start")),
)
"""What timings were taken under: the name in their records, and how one of it and more are said."""
UNKNOWN = marked("as its record names it")


class Verdict(NamedTuple):
    """The judge's word on one image: ``valid`` or refused, the class it reads, how sure it is."""

    valid: bool
    label: str
    confidence: str

    @property
    def mark(self) -> str:
        """A sign that needs no colour."""
        return "✓" if self.valid else "×"

    @property
    def words(self) -> str:
        """The verdict as a sentence."""
        text = marked("valid, reads {label}{sure}" if self.valid else "refused, reads {label}{sure}")
        sure = say(", confidence {confidence}", confidence=self.confidence) if self.confidence else ""
        return say(text, label=self.label, sure=sure)


class Film(NamedTuple):
    """One strip of frames with its verdicts (none where there was no judge), its name for assistive technology, and the
    ``runs`` of neighbouring frames that read alike: (class, frames)."""

    picture: Picture
    verdicts: Sequence[Verdict]
    alt: str
    valid: str
    runs: Sequence[tuple[str, int]]


class Path(NamedTuple):
    """One interpolation: the decoded path, its cross-fade, and how long each step is."""

    title: str
    film: Film
    fade: Film | None
    curve: Markup


class Sample(NamedTuple):
    """One decoded draw."""

    picture: Picture
    verdict: Verdict | None
    alt: str


class Draws(NamedTuple):
    """Samples of one sampler; ``share`` is the model's score over all its draws and seeds where it was measured."""

    key: str
    title: str
    about: str
    samples: Sequence[Sample]
    counted: str
    share: str


class PosteriorPicture(NamedTuple):
    """The four drawings of one model's posterior, what they say in words, and the numbers behind them."""

    clouds: Markup
    widths: Markup
    scatter: Markup
    kl: Markup | None
    caption: str
    rows: Sequence[Sequence[str]]


def names_of(run: RunFolder) -> list[str]:
    """Names of the classes, from the run's data."""
    data = run.detail.get("dataset") or {}
    try:
        listed = run.artifact("data").detail.get("classes")
    except Absent:
        listed = None
    return [str(c) for c in (listed or data.get("classes") or [])]


def class_name(names: Sequence[str], k: int) -> str:
    """The name of class k, its number where it has none."""
    return names[k] if 0 <= k < len(names) else str(k)


def paths(column: Column) -> list[Path]:
    """The interpolation strips of one model."""
    held, names = column.run.artifact("strips", column.model), names_of(column.run)
    frames, steps = held.need("frames", (4, 5)), np.nan_to_num(held.need("steps", 2))
    fade = held.arrays.get("fade")
    out = []
    for p in range(min(len(frames), STRIPS)):
        ends = [class_name(names, int(k)) for k in held.arrays["label"][p]] if "label" in held else []
        title = f"{ends[0]} → {ends[1]}" if len(ends) == 2 else say("pair {n}", n=p + 1)
        walk = say("{model}, decoded straight line {title}", model=column.label, title=title)
        film = _film(held, names, frames[p], "frame", p, walk)
        mix = say("{model}, cross-fade {title}", model=column.label, title=title)
        blend = None if fade is None else _film(held, names, fade[p], "fade", p, mix)
        fade_steps = np.nan_to_num(held.arrays["fade_steps"][p]) if "fade_steps" in held else None
        top = int(np.argmax(steps[p]))
        label = say(
            "Step curve of {model}, {title}: the longest of {n} steps is number {top} with {share} of the path; an even "
            "pace would be {even}.",
            model=column.label,
            title=title,
            n=len(steps[p]),
            top=top + 1,
            share=words.percent(float(steps[p][top])),
            even=words.percent(1 / len(steps[p])),
        )
        out.append(Path(title, film, blend, figures.step_curve(steps[p], fade_steps, column.m, label)))
    return out


def _film(held: Arrays, names: Sequence[str], frames: Array, prefix: str, p: int, what: str) -> Film:
    said = []
    if f"{prefix}_valid" in held:
        valid, label = held.arrays[f"{prefix}_valid"][p], held.need(f"{prefix}_label", 2)[p]
        sure = held.arrays[f"{prefix}_confidence"][p] if f"{prefix}_confidence" in held else None
        said = [
            Verdict(bool(v), class_name(names, int(k)), f"{float(sure[t]):.2f}" if sure is not None else "")
            for t, (v, k) in enumerate(zip(valid, label, strict=True))
        ]
    good = sum(v.valid for v in said)
    counted = say("{some} of {n} valid", some=good, n=len(said)) if said else ""
    runs = [(label, len(list(group))) for label, group in itertools.groupby(v.label for v in said)]
    alt = words.commas([say("{what}: {n} frames", what=what, n=len(frames)), *([counted] if counted else [])])
    return Film(images.strip(frames), said, alt, counted, runs)


def draws(column: Column) -> list[Draws]:
    """Samples of one model from each prior, with the judge's verdict on every one."""
    held, names = column.run.artifact("samples", column.model), names_of(column.run)
    shares = {
        c.metric: c
        for c in summarise(column.run.records)
        if c.model == column.model and c.metric.startswith("validity.")
    }
    out = []
    for key, told in words.SAMPLERS.items():
        if f"{key}_images" not in held:
            continue
        title, about = map(say, told)
        pictures = images.singles(held.need(f"{key}_images", (3, 4))[:SAMPLES])
        samples = []
        for k, picture in enumerate(pictures):
            said = None
            if f"{key}_valid" in held:
                sure = held.arrays.get(f"{key}_confidence")
                label = class_name(names, int(held.need(f"{key}_label", 1)[k]))
                confidence = f"{float(sure[k]):.2f}" if sure is not None else ""
                said = Verdict(bool(held.arrays[f"{key}_valid"][k]), label, confidence)
            alt = say("{sampler}, draw {n}", sampler=title, n=k + 1)
            if said:
                alt = say("{what}: {verdict}", what=alt, verdict=said.words)
            samples.append(Sample(picture, said, alt))
        good = sum(s.verdict.valid for s in samples if s.verdict)
        judged = bool(samples and samples[0].verdict)
        counted = say("{some} of these {n} valid", some=good, n=len(samples)) if judged else say("not judged")
        out.append(Draws(key, title, about, samples, counted, _share(shares.get(f"validity.{key}"))))
    if not out:
        raise Absent(say("Not drawn: the samples of {model} hold no images.", model=column.model))
    return out


def _share(cell: Cell | None) -> str:
    if cell is None or cell.interval is None:
        return ""
    i = cell.interval
    share = f"{words.percent(i.mean)} ± {words.percent(i.half)}" if i.half else words.percent(i.mean)
    if i.n > 1:
        return say("{share} over all draws and {n} seeds", share=share, n=i.n)
    return say("{share} over all draws", share=share)


def posterior(column: Column) -> PosteriorPicture:
    """Where one model's posteriors lie and how wide they are."""
    held, m, name = column.run.artifact("posterior", column.model), column.m, column.label
    mu, mu_sd = np.nan_to_num(held.need("mu", 2)), np.nan_to_num(held.need("mu_sd", 1))
    active = held.arrays.get("active", np.ones(len(mu_sd), bool)).astype(bool)
    sigma = np.nan_to_num(held.need("sigma", 2)) if "sigma" in held else None
    wide = np.nan_to_num(held.need("sigma_mean", 1)) if "sigma_mean" in held else None
    kl = np.nan_to_num(held.need("kl", 1)) if "kl" in held else None
    first = np.argsort(-mu_sd, kind="stable")[:2]
    dims = (int(first[0]), int(first[-1]))
    used = int(active.sum())
    if sigma is None:
        caption = say(
            "Every image is encoded to a point: sigma is 0 in every dimension, nothing says how far apart points may "
            "lie, and the space between them was never decoded in training."
        )
    else:
        caption = say(
            "{some} of {n} dimensions are in use. In training every image is decoded from anywhere in its cloud, so the "
            "decoder has been taught what lies around each mean.",
            some=used,
            n=len(mu_sd),
        )
    label = marked(
        "Posteriors of {model} in dimensions {a} and {b}: points mu, without width; dashed: the prior at one and two "
        "standard deviations."
        if sigma is None
        else "Posteriors of {model} in dimensions {a} and {b}: ellipses of radius sigma around mu; dashed: the prior at "
        "one and two standard deviations."
    )
    spread = say("Spread of the means and mean sigma of {model} in each of {n} dimensions; the table below holds the numbers.",
                 model=name, n=len(mu_sd))  # fmt: skip
    bars = say("KL of {model} in each dimension, nats; the table below holds the numbers.", model=name)
    dots = say("Sigma against mu of {model} for {n} images in every dimension.", model=name, n=len(mu))
    return PosteriorPicture(
        figures.clouds(mu, sigma, dims, m, say(label, model=name, a=dims[0] + 1, b=dims[1] + 1)),
        figures.widths(mu_sd, wide, active, m, spread),
        figures.sigma_against_mu(mu, sigma, m, dots),
        None if kl is None else figures.kl_bars(kl, active, m, bars),
        caption,
        _posterior_rows(held, mu_sd, wide, kl, active),
    )


def _posterior_rows(held: Arrays, mu_sd: Array, wide: Array | None, kl: Array | None, active: Array) -> list[list[str]]:
    centre = held.arrays.get("mu_mean")
    law = held.arrays.get("variance_law")
    rows = []
    for d, sd in enumerate(mu_sd.tolist()):
        mean = float(centre[d]) if centre is not None and centre.ndim == 1 else math.nan
        s = 0.0 if wide is None else float(wide[d])
        rows.append([
            str(d + 1), words.number(mean, 2), words.number(sd, 3), words.number(s, 3) if wide is not None else say("0 (a point)"),
            "—" if kl is None else words.number(float(kl[d]), 2),
            "—" if law is None or law.ndim != 1 else words.number(float(law[d]), 2),
            _diagnosis(bool(active[d]), mean, sd, s, wide is not None),
        ])  # fmt: skip
    return rows


def _diagnosis(active: bool, mean: float, sd: float, sigma: float, has_sigma: bool) -> str:
    """One dimension in words, after the rules of the measures."""
    if not active:
        return say("collapsed (unused): fewer dimensions would do, or a smaller beta brings it to life")
    found = []
    if not has_sigma:
        found.append(say("a point"))
    elif sd > 0 and sigma / sd < PUNCTUAL:
        found.append(say("punctual, sigma / sd(mu) = {ratio}: a larger beta widens it", ratio=words.number(sigma / sd)))
    nats = (sd**2 + (mean if math.isfinite(mean) else 0.0) ** 2) / 2
    if nats > FAR:
        found.append(
            say("far apart, E mu² / 2 = {nats}: the mean half of the KL would hold it", nats=words.number(nats))
        )
    return words.clauses(found) or say("regular")


class Rebuilt(NamedTuple):
    """Held-out images above what each model makes of them: ``rows`` of (name, swatch, pictures)."""

    rows: Sequence[tuple[str, Markup, Sequence[Picture]]]
    size: tuple[int, int]


def reconstructions(columns: Sequence[Column]) -> tuple[list[Rebuilt], list[str]]:
    """Originals and reconstructions, models that show the same images beneath one another; and what is missing."""
    groups: dict[bytes, list[tuple[Column, Arrays]]] = {}
    missing = []
    for column in columns:
        try:
            held = column.run.artifact("reconstructions", column.model)
            x, x_hat = held.need("x", (3, 4)), held.need("x_hat", (3, 4))
            if len(x) != len(x_hat):
                text = marked("Not drawn: {model} has {some} reconstructions of {n} images.")
                raise Absent(say(text, model=column.label, some=len(x_hat), n=len(x)))
        except Absent as reason:
            missing.append(str(reason))
            continue
        groups.setdefault(x.tobytes() + str(x.shape).encode(), []).append((column, held))
    out = []
    for members in groups.values():
        originals = members[0][1].arrays["x"]
        rows: list[tuple[str, Markup, Sequence[Picture]]] = [(say("original"), Markup(""), images.singles(originals))]
        rows += [(c.label, c.swatch, images.singles(held.arrays["x_hat"])) for c, held in members]
        out.append(Rebuilt(rows, images.shown_size(*originals.shape[1:3])))
    return out, missing


def training(column: Column) -> tuple[Markup, str]:
    """Loss curves of one model over all seeds, and a line about them."""
    curves: dict[str, dict[int | None, Sequence[float]]] = {"loss.train": {}, "loss.val": {}}
    for r in column.run.records:
        if r.kind == "curve" and r.model == column.model and r.metric in curves and r.samples:
            curves[r.metric][r.seed] = list(r.samples)
    train, val = curves["loss.train"], curves["loss.val"]
    if not (train or val):
        raise Absent(say("Not drawn: this run recorded no loss curves of {model}.", model=column.model))
    lengths = [len(c) for c in (train or val).values()]
    about = plural("{n} seed, {epochs} epochs", "{n} seeds, {epochs} epochs", len(lengths),
                   epochs=_span(str(min(lengths)), str(max(lengths))))  # fmt: skip
    label = say("Loss of {model} over epochs, {about}.", model=column.label, about=about)
    return figures.training(train, val, column.m, label), about


def _span(low: str, high: str) -> str:
    """``12 to 30``, or the one number where both are equal."""
    return say("{low} to {high}", low=low, high=high) if low != high else low


class SpeedRow(NamedTuple):
    """One line of the speed table."""

    model: str
    kind: str
    device: str
    batch: str
    speed: str
    spread: str
    latency: str
    peak: str
    memory: str
    rankable: bool


class Speeds(NamedTuple):
    """Throughput: a figure for each kind of work and device, the table, who cannot be ranked, and what it ran on."""

    plots: Sequence[tuple[str, str, Markup]]
    rows: Sequence[SpeedRow]
    unranked: Sequence[str]
    conditions: str


def speeds(columns: Sequence[Column]) -> Speeds:
    """Samples per second of every model. Raises Absent where no run measured any."""
    numbers = {(id(c.run), c.model): c for c in columns}
    found: dict[tuple[str, str], list[figures.Speed]] = {}
    rows, unranked, seen = [], [], []
    for run in dict.fromkeys(c.run for c in columns):
        for r in run.records:
            column = numbers.get((id(run), r.model))
            kind = r.metric.removeprefix("throughput.")
            if column is None or not r.metric.startswith("throughput.") or r.value is None:
                continue
            device, batch = str(r.metric_params.get("device", "")), int(r.metric_params.get("batch", 0))
            ok = bool(r.detail.get("rankable", True))
            times = np.asarray([s for s in (r.samples or (r.value,)) if s and s > 0] or [max(r.value, 1e-9)])
            low, high = (float(q) for q in np.quantile(times, (0.25, 0.75)))
            found.setdefault((kind, device), []).append(figures.Speed(column.m, batch, r.value, low, high, ok))
            title = say(KINDS.get(kind, (kind, ""))[0])
            rows.append(_speed_row(column.label, title, device, batch, r.value, r.detail, ok))
            if not ok:
                text = marked("{model}, {work}, batch {batch}")
                unranked.append(say(text, model=column.label, work=title.lower(), batch=batch))
            seen.append(r.detail)
    if not rows:
        raise Absent(say("Not drawn: no speed was measured in this run."))
    plots = []
    for (kind, device), every in found.items():
        title, about = map(say, KINDS.get(kind, (kind, UNKNOWN)))
        best = max(every, key=lambda s: s.median)
        label = say(
            "{work} on {device}: samples per second over batch sizes {batches}; highest {best}. The table below holds the "
            "numbers.",
            work=title,
            device=device,
            batches=words.commas(str(b) for b in sorted({s.batch for s in every})),
            best=words.engineering(best.median),
        )
        plots.append((f"{title} ({device})" if device else title, about, figures.throughput(every, label)))
    if len(unranked) > 6:
        text = marked("{some} of {n} timings, named in the table below")
        unranked = [say(text, some=len(unranked), n=len(rows))]
    return Speeds(plots, rows, unranked, _conditions(seen))


def _speed_row(
    model: str, kind: str, device: str, batch: int, value: float, detail: Mapping[str, Any], ok: bool
) -> SpeedRow:
    latency, memory = detail.get("latency_ms"), detail.get("peak_memory_bytes")
    return SpeedRow(
        model, kind, device, str(batch), words.engineering(value), words.percent(detail.get("spread")),
        f"{words.number(latency)}{words.THIN}ms" if latency is not None else "—", words.percent(detail.get("peak_share")),
        words.engineering(memory, "B") if memory is not None else "—", ok,
    )  # fmt: skip


def _conditions(seen: Sequence[Mapping[str, Any]]) -> str:
    """What the timings were taken under, in a sentence; only what the records say."""
    parts = []
    for key, one, many in CONDITIONS:
        values = sorted({d[key] for d in seen if isinstance(d.get(key), int | float)})
        if values:
            parts.append(say(one if values == [1] else many, n=_span(f"{values[0]:.3g}", f"{values[-1]:.3g}")))
    return words.commas(parts)


class MapView(NamedTuple):
    """One map: its still drawing and its caption's numbers."""

    column: Column
    still: Markup
    trust: str
    k: str
    n: int


def classes_of(run: RunFolder, count: int) -> tuple[Array, list[str]]:
    """Class numbers of the shown points (m,) and the names of the classes; all 0 and no names where unlabelled."""
    held = run.artifact("data")
    if "label" not in held or len(held.arrays["label"]) != count:
        return np.zeros(count, int), []
    label = held.need("label", 1).astype(int)
    if label.min(initial=0) < 0:
        return np.zeros(count, int), []
    names = names_of(run)
    most = max(int(label.max(initial=0)) + 1, len(names))
    return label, [class_name(names, k) for k in range(most)]


def centres(xy: Array, label: Array, names: Sequence[str]) -> list[figures.Centre]:
    """The most central point of each class (least total distance to the others, so that the name stands on a point
    even where a class falls apart), for at most 20 classes."""
    if len(names) > 20:
        return []
    shown = [k for k in range(len(names)) if bool((label == k).any())]
    places = {k: _central(xy[label == k]) for k in shown}
    return [figures.Centre(float(p[0]), float(p[1]), names[k]) for k, p in places.items()]


def _central(points: Array) -> Array:
    some = points[:: max(1, len(points) // 400)]
    total = np.hypot(*(some[:, None] - some[None]).transpose(2, 0, 1)).sum(1)
    return np.asarray(some[int(np.argmin(total))])


def legend(label: Array, names: Sequence[str]) -> list[tuple[int, str, int, Markup]]:
    """(number, name, points, swatch) of each class on the maps."""
    return [
        (k, name, int((label == k).sum()), svg.swatch(figures.marker(k), f"point {figures.class_class(k)}", 14))
        for k, name in enumerate(names)
    ]
