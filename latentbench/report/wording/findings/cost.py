"""What did it cost? Reconstruction, beside PCA of the same size; parameters, training time and throughput."""

from __future__ import annotations

from latentbench.report.wording import words
from latentbench.report.wording.findings.claims import Statement, sentences, standing
from latentbench.report.wording.findings.tables import reasons, where
from latentbench.report.wording.intervals import means, of_models, value
from latentbench.report.wording.language import marked, say
from latentbench.stats.findings.cost import METRICS, Cost, Rate, Speed

SPEEDS = marked({"encode": "encoding", "decode": "decoding", "sample": "sampling", "train_step": "training"})
ALONE = marked("One training takes {told}.")
BESIDE = marked("One training took {told}, timed while other work ran on the machine: this ranks nobody.")
ABOVE, BELOW, NEAR = marked(("better: {models}", "worse: {models}", "cannot be told apart: {models}"))


def cost(costs: Cost) -> Statement:
    """The answer from R², squared error, size and speed; collapsed models included, since this is where it shows."""
    definitions = costs.table.definitions
    out = [
        *sentences(costs.reconstruction, definitions),
        *_worse_than_pca(costs),
        *_against_pca(costs),
        *sentences(costs.error, definitions),
    ]
    elsewhere = [*_sizes(costs), *_speeds(costs)]
    out += elsewhere
    made = (*costs.reconstruction, *costs.error)
    return Statement(
        "cost", say("What did it cost? {answer}", answer=_headline(costs)), tuple(out), METRICS, made, tuple(elsewhere)
    )


def _headline(costs: Cost) -> str:
    if not costs.r2:
        why = reasons(costs.table.reasons("r2"))
        return say("Not measured, {where}: {why}.", where=where(costs.table), why=why)
    ahead = standing(costs.standing)
    return say(
        "Reconstruction of held-out images, R² {means}{linear}{ahead}, {where}.",
        means=means(costs.r2),
        linear=say(" (PCA of the same size {value})", value=words.tidy(costs.pca)) if costs.pca is not None else "",
        ahead=say(": {ahead}", ahead=ahead) if ahead else "",
        where=where(costs.table),
    )


def _worse_than_pca(costs: Cost) -> list[str]:
    """The models that do not even do what costs no training."""
    text = marked(
        "Worse than PCA of the same size: {model}, R² {own} against {pca}; its codes hold less than linear ones."
    )
    means = {c.model: c.interval.mean for c in costs.r2 if c.interval}
    return [
        say(text, model=m, own=words.tidy(means[m]), pca=words.tidy(costs.pca)) for m in costs.below_pca if m in means
    ]


def _against_pca(costs: Cost) -> list[str]:
    """Who beats the best linear compression to the same size."""
    sides = ((ABOVE, costs.above_pca), (BELOW, costs.below_pca), (NEAR, costs.near_pca))
    clauses = words.clauses(say(text, models=words.listed(list(names))) for text, names in sides if names)
    if not clauses:
        return []
    text = marked("Against PCA with the same number of dimensions (R² {pca}): {told}.")
    return [say(text, pca=words.tidy(costs.pca), told=clauses)]


def _sizes(costs: Cost) -> list[str]:
    """Sizes and training times, as they are."""
    out = []
    if costs.parameters:
        counts = of_models(costs.parameters, lambda i: words.count(i.mean))
        out.append(say("Parameters: {told}.", told=counts))
    if costs.seconds:
        times = of_models(costs.seconds, lambda i: f"{value(i)} s")
        alone = all(c.rankable for c in costs.seconds)
        out.append(say(ALONE if alone else BESIDE, told=times))
    return out


def training_times(costs: Cost) -> str:
    """What one training took, in a clause, and whether that ranks anybody."""
    times = of_models(costs.seconds, lambda i: say("{seconds} s", seconds=words.number(i.mean)))
    alone = all(c.rankable for c in costs.seconds)
    return say(
        "one training {times}" if alone else "one training {times} beside other work, which ranks nobody", times=times
    )


def _speeds(costs: Cost) -> list[str]:
    """Throughput against the first model's, each operation at the largest batch both have."""
    first = costs.table.models[0]
    out = [_speed(s, first) for s in costs.speeds if s.rates]
    if any(s.unsteady for s in costs.speeds):
        which = words.clauses(
            say("{work} of {model}", work=words.commas(say(SPEEDS[w]) for w in s.unsteady), model=s.model)
            for s in costs.speeds
            if s.unsteady
        )
        text = marked("Not ranked against {first}, because the timings spread too widely: {which}.")
        out.append(say(text, first=first, which=which))
    return out


def _speed(speed: Speed, first: str) -> str:
    on = say(" on {devices}", devices=words.commas(sorted(speed.devices))) if all(speed.devices) else ""
    text = marked("Images a second, {other} against {first}{on}: {ratios}.")
    return say(text, other=speed.model, first=first, on=on, ratios=words.commas(map(_rate, speed.rates)))


def _rate(rate: Rate) -> str:
    text = marked(
        "{work} × {ratio} (batch {batch}, within the spread)" if rate.tied else "{work} × {ratio} (batch {batch})"
    )
    return say(text, work=say(SPEEDS[rate.work]), ratio=f"{rate.ratio:.2f}", batch=f"{rate.batch:g}")
