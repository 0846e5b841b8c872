"""The verdict in words, with its uncertainty, from records alone.

Four questions: is this latent space continuous? complete? what did it cost? why mu and sigma? A claim is made only
where the paired interval over seeds leaves 0 out; otherwise the two are called tied, with the number of seeds that
would separate them. A collapsed model (nothing is encoded) is said to be collapsed and leads nothing. Claims are made
at a stated latent size and name the sampler, since in two dimensions, or with another sampler, they may not hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from latentbench.records import Record, run_record
from latentbench.stats import Cell, Interval, leaders, paired, references, summarise

LEGEND = (
    "Mean over seeds +- half of the 95 % t-interval. * best, = tied with the best. Intervals hold for one split of the "
    "data and one judge."
)
COLUMNS = (
    ("r2", "R2"),
    ("path.tortuosity", "tortuosity"),
    ("path.validity_gain", "validity gain"),
    ("validity.normal", "valid N(0,I)"),
    ("validity.gaussian", "valid Gaussian"),
    ("validity.mixture", "valid mixture"),
    ("hole", "hole"),
    ("active_units", "active"),
)
COLLAPSED_R2 = 0.05
PUNCTUAL = 0.02
FAR = 5.0


@dataclass(frozen=True)
class Verdict:
    """One question's answer: ``headline`` in a sentence, ``sentences`` with the numbers, ``metrics`` it rests on."""

    question: str
    headline: str
    sentences: tuple[str, ...]
    metrics: tuple[str, ...]


def number(x: float) -> str:
    """A number as the tables print it: two or three significant digits, an exponent only below 1e-5."""
    if x == 0:
        return "0"
    if abs(x) >= 1000 or float(x).is_integer():
        return f"{x:,.0f}"
    if abs(x) < 1e-5:
        return f"{x:.0e}"
    return f"{x:.3g}" if abs(x) >= 100 else f"{x:.2f}" if abs(x) >= 0.1 else f"{x:.2g}"


def spread(i: Interval) -> str:
    """Mean and half-width."""
    return number(i.mean) if i.half is None else f"{number(i.mean)} ± {number(i.half)}"


class Table:
    """The cells of one dataset, found by model and metric (test split)."""

    def __init__(self, cells: Iterable[Cell], dataset: str) -> None:
        self.cells = [c for c in cells if c.dataset == dataset and c.split in ("test", "")]
        self.dataset = dataset
        self.models = list(
            dict.fromkeys(
                c.model for c in self.cells if c.model and not c.is_reference and not c.model.startswith("judge")
            )
        )
        self.by = {(c.model, c.metric): c for c in self.cells}
        self.latent_dim = next((c.latent_dim for c in self.cells if c.model in self.models), None)

    def get(self, model: str, metric: str) -> Interval | None:
        """The interval of a metric, None where it has no value."""
        cell = self.by.get((model, metric))
        return cell.interval if cell else None

    def reference(self, metric: str, name: str) -> float | None:
        """A baseline, floor or ceiling."""
        cell = references(self.cells, self.dataset, metric).get(name)
        return cell.interval.mean if cell and cell.interval else None

    def collapsed(self) -> list[str]:
        """Models that encode nothing: no active dimension, or reconstructions no better than the mean image."""
        out = []
        for model in self.models:
            units, r2 = self.get(model, "active_units"), self.get(model, "r2")
            if (units and units.mean < 0.5) or (r2 and r2.mean < COLLAPSED_R2):
                out.append(model)
        return out

    def leaders(self, metric: str) -> tuple[str, ...]:
        """Best or tied for best, collapsed models aside."""
        return leaders([c for c in self.cells if c.metric == metric and c.model in self.models], self.collapsed())


def tables(records: Sequence[Record]) -> list[Table]:
    """One table a dataset."""
    cells = summarise(records)
    return [Table(cells, d) for d in dict.fromkeys(c.dataset for c in cells if c.dataset)]


def verdicts(records: Sequence[Record]) -> list[Verdict]:
    """The four answers for each dataset; none where nothing was measured."""
    out = []
    for table in tables(records):
        if table.models:
            out += [_continuous(table), _complete(table), _posterior(table), _cost(table)]
    if (head := run_record(records)) and out:
        seeds = head.detail.get("config", {}).get("seeds", [])
        if len(seeds) == 1:
            note = "One seed only: no interval, so nothing here is a claim."
            out = [Verdict(v.question, v.headline, (*v.sentences, note), v.metrics) for v in out]
    return out


def _where(table: Table) -> str:
    return f"on {table.dataset}" + (f" at d = {table.latent_dim}" if table.latent_dim else "")


def _versus(table: Table, metric: str, what: str, unit: str = "") -> list[str]:
    """A sentence comparing every model with the first on one metric."""
    cells = [table.by[m, metric] for m in table.models if (m, metric) in table.by and table.by[m, metric].interval]
    out = []
    for other in cells[1:]:
        first = cells[0]
        if not (first.values.keys() & other.values.keys()):
            continue
        p = paired(other.values, first.values)
        d = p.difference
        a, b = spread(other.interval or d), spread(first.interval or d)
        numbers = f"{what}: {other.model} {a}{unit}, {first.model} {b}{unit}"
        if d.low is None or d.high is None:
            out.append(f"{numbers} (one seed: undecided).")
        elif p.tied:
            more = f"; about {p.more_seeds} more seeds would separate them" if p.more_seeds else ""
            out.append(f"{numbers}: tied (difference {number(d.mean)} [{number(d.low)}, {number(d.high)}]{more}).")
        else:
            out.append(
                f"{numbers}: difference {number(d.mean)} [{number(d.low)}, {number(d.high)}] over {d.n} seeds "
                f"(sign-flip p = {p.sign_flip_p:.3f})."
            )
    if len(cells) == 1 and cells[0].interval:
        out.append(f"{what}: {cells[0].model} {spread(cells[0].interval)}{unit}.")
    return out


def _names(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 2 else names)


def _continuous(table: Table) -> Verdict:
    gains = {m: g for m in table.models if (g := table.get(m, "path.validity_gain"))}
    better = [m for m, g in gains.items() if g.low is not None and g.low > 0]
    if not gains:
        headline = f"Continuous? Not judged {_where(table)}: no judge, or no decoded path."
    elif len(better) == len(gains):
        headline = f"Continuous? Yes, more than a cross-fade: {_names(better)}, {_where(table)}."
    elif better:
        rest = [m for m in gains if m not in better]
        headline = f"Continuous? {_names(better)}: more than a cross-fade; {_names(rest)}: undecided, {_where(table)}."
    else:
        headline = f"Continuous? Undecided {_where(table)}: no model is shown to beat a cross-fade of its own images."
    sentences = [
        *_versus(table, "path.validity_gain", "Frames halfway that the judge accepts, beyond those of the cross-fade"),
        *_versus(table, "path.tortuosity", "Length of the decoded path over its chord (1 = straight)"),
        *_versus(table, "path.jump", "Largest step beyond uniform speed (0 = uniform)"),
        "A straight path alone proves nothing: a pixel cross-fade is perfectly straight and a blurry decoder nearly "
        "so. Read it beside R2 and the judged frames.",
    ]
    return Verdict("continuous", headline, tuple(sentences), ("path.validity_gain", "path.tortuosity", "path.jump"))


def _complete(table: Table) -> Verdict:
    valid = {m: v for m in table.models if (v := table.get(m, "validity.normal"))}
    ceiling = table.reference("validity.normal", "ceiling:real")
    lead = table.leaders("validity.normal")
    if not valid:
        headline = f"Complete? Not judged {_where(table)}: {_why(table, 'validity.normal')}."
    elif not lead:
        model, share = next(iter(valid.items()))
        headline = f"Complete? {share.mean:.0%} of what {model} decodes from N(0, I) is accepted, {_where(table)}."
    else:
        shares = ", ".join(f"{m} {v.mean:.0%}" for m, v in valid.items())
        word = f"{lead[0]} is more complete" if len(lead) == 1 else f"{_names(lead)} are tied"
        headline = f"Complete? Of draws from N(0, I) the judge accepts {shares}: {word}, {_where(table)}."
    sentences = []
    if valid and ceiling is not None:
        floors = [
            f
            for n in ("noise", "shuffle", "mean")
            if (f := table.reference("validity.normal", f"floor:{n}")) is not None
        ]
        junk = f" and at most {max(floors):.1%} of junk" if floors else ""
        sentences.append(
            f"The same judge accepts {ceiling:.0%} of real held-out images{junk}: read every share between."
        )
    for sampler, words in (
        ("normal", "N(0, I)"),
        ("gaussian", "a Gaussian fitted to the codes"),
        ("mixture", "a mixture"),
    ):
        sentences += _versus(table, f"validity.{sampler}", f"Accepted draws from {words}")
    sentences += _versus(table, "hole", "Share of N(0, I) that no posterior supports (null value .01)")
    sentences += _versus(table, "hole.gaussian", "The same under the fitted Gaussian")
    for model in table.collapsed():
        sentences.append(f"Completeness flagged: {model} is collapsed, it encodes nothing, so its shares mean nothing.")
    return Verdict("complete", headline, tuple(sentences), ("validity.normal", "validity.gaussian", "hole"))


def _why(table: Table, metric: str) -> str:
    cell = next((c for c in table.cells if c.metric == metric and c.model in table.models and c.reason), None)
    return cell.reason if cell else "it was not measured"


def diagnosis(table: Table, model: str) -> str:
    """One word on a model's posterior: regular, punctual, far apart or collapsed (or a point, for an autoencoder)."""
    if model in table.collapsed():
        return "collapsed"
    mean_part, index = table.get(model, "kl.mean_part"), table.get(model, "punctual_index")
    if mean_part is None:
        return "a point"
    words = []
    if index and index.mean < PUNCTUAL:
        words.append("punctual")
    if mean_part.mean > FAR:
        words.append("far apart")
    return " and ".join(words) or "regular"


def _posterior(table: Table) -> Verdict:
    words = {m: diagnosis(table, m) for m in table.models if table.get(m, "active_units") or table.get(m, "r2")}
    headline = "Why mu and sigma? " + "; ".join(f"{m}: {w}" for m, w in words.items()) + f", {_where(table)}."
    sentences = []
    for model, word in words.items():
        kl, mean_part, rest = (table.get(model, f"kl{k}") for k in ("", ".mean_part", ".variance_part"))
        if word == "a point":
            sentences.append(
                f"{model} encodes an image to a point: sigma is 0 and nothing regularises where points lie."
            )
        elif kl and mean_part and rest:
            index = table.get(model, "punctual_index")
            width = f" Posterior width over the spread of the means: {spread(index)} (0 = a point)." if index else ""
            sentences.append(
                f"{model} pays KL {spread(kl)} nats: {spread(mean_part)} for where the means lie, {spread(rest)} for how "
                f"narrow the posteriors are.{width}"
            )
        if law := table.get(model, "variance_law"):
            sentences.append(f"{model}: spread of the means plus posterior variance {spread(law)} (1 at an optimum).")
    return Verdict("posterior", headline, tuple(sentences), ("kl", "punctual_index", "variance_law", "overlap"))


def _cost(table: Table) -> Verdict:
    shares = ", ".join(f"{m} {r.mean:.0%}" for m in table.models if (r := table.get(m, "r2")))
    pca = table.reference("r2", "baseline:pca")
    beside = f" (PCA of the same size: {pca:.0%})" if pca is not None else ""
    headline = f"What did it cost? Of the images' variance survives: {shares}{beside}, {_where(table)}."
    sentences = [*_versus(table, "r2", "R2 on held-out images"), *_versus(table, "mse", "Mean squared error")]
    sentences += _versus(table, "train.seconds", "Training time", " s")
    return Verdict("cost", headline, tuple(sentences), ("r2", "mse", "train.seconds"))


def console_table(records: Sequence[Record]) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of the score table for a terminal; ``*`` best, ``=`` tied with the best, ``–`` no value."""
    rows = []
    every = tables(records)
    shown = [(m, t) for m, t in COLUMNS if any(table.get(model, m) for table in every for model in table.models)]
    for table in every:
        prefix = f"{table.dataset} " if len(every) > 1 else ""
        lead = {metric: table.leaders(metric) for metric, _ in shown}
        for model in table.models:
            row = [prefix + model]
            for metric, _ in shown:
                interval = table.get(model, metric)
                mark = ("*" if len(lead[metric]) == 1 else "=") if model in lead[metric] else ""
                row.append(spread(interval) + mark if interval else "–")
            rows.append(row)
        for name in ("baseline:pca", "ceiling:real"):
            cells = [table.reference(metric, name) for metric, _ in shown]
            if any(c is not None for c in cells):
                rows.append([prefix + name, *("–" if c is None else number(c) for c in cells)])
    return ["model", *(title for _, title in shown)], rows
