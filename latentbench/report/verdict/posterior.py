"""Why mu and sigma? What the posteriors are, which half of the KL they pay, and what clouds buy over points.

A model's posterior is *regular*; *punctual*: sigma is negligible beside the spread of the means; *far apart*: so much
room between the means that the prior's mass lies there; or *collapsed*: it says nothing about the image.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from latentbench.report.measured import Table
from latentbench.report.verdict.claims import Verdict, claims, difference, value
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say

PUNCTUAL = 0.02
"""Posteriors narrower than this share of the spread of their means are points."""
FAR = 5.0
"""Nats that a dimension's means may cost, E mu² / 2, before they count as far apart: |mu| about 3.2."""


PRICE = {
    0: marked("; R² is tied"),
    1: marked("; R² is {size} higher"),
    -1: marked("; R² is {size} lower"),
}
KINDS = marked(("regular", "punctual", "far apart", "punctual and far apart", "collapsed"))
MEANING = marked({
    "regular": "regular (clouds)",
    "punctual": "punctual (its clouds have shrunk to points)",
    "far apart": "far apart (the prior's mass lies between its clouds)",
})  # fmt: skip


def diagnosis(table: Table, model: str) -> str:
    """A word on a model's posterior: regular, punctual, far apart, punctual and far apart, or collapsed; unknown where
    nothing tells.

    Punctual: `punctual_index` below `PUNCTUAL`. Far apart: E mu² / 2 above `FAR` nats, mean over active dimensions.
    Collapsed: see `latentbench.report.measured`.
    """
    if model in table.collapse:
        return "collapsed"
    index, means = table.get(model, "punctual_index"), table.get(model, "kl.mean_part")
    if index is None and means is None:
        return "unknown"
    units = table.get(model, "active_units")
    found = ["punctual"] if index and index.mean < PUNCTUAL else []
    if means and means.mean > FAR * max(1.0, units.mean if units else float(table.latent_dim or 1)):
        found.append("far apart")
    return " and ".join(found) or "regular"


def advice(table: Table, model: str) -> str:
    """What to change where a model's posterior is not regular, in a sentence with the number it rests on; empty where
    nothing is to be changed or nothing tells. A value to try is one step of ten away from the model's own."""
    cell = next((c for (m, _), c in table.by.items() if m == model and c.params), None)
    params = cell.params if cell else {}
    beta, half = params.get("beta"), params.get("kl", "full")
    word, index, means = diagnosis(table, model), table.get(model, "punctual_index"), table.get(model, "kl.mean_part")
    if word == "collapsed" and isinstance(beta, int | float) and beta > 0:
        text = marked(
            "{model}: beta is too large for these images, no dimension is worth its price; try beta={beta}, or a smaller decoder variance."
        )
        return say(text, model=model, beta=f"{beta / 10:g}")
    if half != "full" and word not in ("collapsed", "unknown"):
        return say("{model}: only one half of the KL is in its loss (kl={half}); try kl=full.", model=model, half=half)
    if word.startswith("punctual") and index:
        if beta is None:
            text = marked(
                "{model}: its codes are points by design, sigma / sd(mu) = 0; draw from a mixture fitted to them, or train a VAE."
            )
            return say(text, model=model) if index.mean == 0 else ""
        text = marked("{model}: beta is too small, sigma / sd(mu) = {index}; try beta={beta}.")
        return say(text, model=model, index=words.number(index.mean), beta=f"{beta * 10:g}" if beta else "1")
    if word == "far apart" and means and beta is not None:
        text = marked("{model}: nothing holds its means, E mu² / 2 = {nats} nats; try beta={beta}.")
        return say(text, model=model, nats=words.number(means.mean), beta=f"{beta * 10:g}" if beta else "1")
    return ""


def dimensions(table: Table, model: str) -> dict[str, int]:
    """How many latent dimensions of a model's first measured seed are regular, punctual, far apart or collapsed; empty
    where the records hold nothing per dimension."""
    units, means = table.by.get((model, "active_units")), table.by.get((model, "kl.mean_part"))
    if units is None or not units.details:
        return {}
    seed, detail = next(iter(units.details.items()))
    nats = (means.details.get(seed) or {}).get("per_dimension") if means else None
    count: Counter[str] = Counter()
    lists = (detail.get(k) or () for k in ("active", "mean_variance", "noise_variance"))
    for d, (on, spread, noise) in enumerate(zip(*lists, strict=False)):
        if not on:
            count["collapsed"] += 1
        elif nats is not None and d < len(nats) and nats[d] > FAR:
            count["far apart"] += 1
        else:
            count["punctual" if math.sqrt(noise) < PUNCTUAL * math.sqrt(spread) else "regular"] += 1
    return dict(count)


def posterior(table: Table) -> Verdict:
    """The answer from the diagnosis of each model, the halves of its KL, and holes against R²."""
    said = {m: word for m in table.models if (word := diagnosis(table, m)) != "unknown"}
    sentences = [s for m, word in said.items() if (s := _pays(table, m, word))]
    sentences += [told for m in said if (told := advice(table, m))]
    sentences += [*_bought(table, said), *claims(table.row("overlap"))]
    metrics = ("kl", "kl.mean_part", "kl.variance_part", "punctual_index", "overlap", "variance_law", "active_units")
    return Verdict(
        "posterior", say("Why mu and sigma? {answer}", answer=_headline(table, said)), tuple(sentences), metrics
    )


def _headline(table: Table, said: Mapping[str, str]) -> str:
    """What clouds buy where that is shown, else the diagnosis."""
    fills = [(a, b) for a, b in _beside(table, said) if _fills(table, a, b)]
    if fills:
        points = fills[0][0]
        empty = {m: table.get(m, "hole") for m in (points, *(b for _, b in fills))}
        share = {m: words.percent(i.mean) for m, i in empty.items() if i}
        clouds = words.listed([say("{share} for the clouds of {model}", share=share[b], model=b) for _, b in fills])
        return say(
            "So that the prior is not empty: of N(0, I), {share} is holes for the points of {points}, {clouds}, {where}.",
            share=share[points],
            points=points,
            clouds=clouds,
            where=table.where,
        )
    if not said and table.row("kl", True) and all((m, "punctual_index") not in table.by for m in table.models):
        return say("No diagnosis, {where}: the ratio of sigma to sd(mu) was not asked for.", where=table.where)
    if not said:
        return say("Not measured, {where}: {why}.", where=table.where, why=table.why("punctual_index", "kl"))
    told = words.clauses(f"{m} {_in_words(table, m, word)}" for m, word in said.items())
    return say("Diagnosis: {told}, {where}.", told=told, where=table.where)


def _in_words(table: Table, model: str, word: str) -> str:
    if word == "collapsed":
        return say("collapsed ({why})", why=table.collapse[model])
    if word == "punctual" and not table.get(model, "kl"):
        return say("punctual (its codes are points without a sigma)")
    return say(MEANING.get(word, word))


def _pays(table: Table, model: str, word: str) -> str:
    """What a model's posterior costs and which half of it, in a sentence."""
    parts = []
    kl, mean, rest = (table.get(model, f"kl{part}") for part in ("", ".mean_part", ".variance_part"))
    index, law, units = (table.get(model, m) for m in ("punctual_index", "variance_law", "active_units"))
    if kl:
        if mean and rest and word != "collapsed":
            text = marked(
                "it pays a KL of {kl} nats, {mean} for where the means lie and {rest} for how narrow sigma is"
            )
            parts.append(say(text, kl=value(kl), mean=value(mean), rest=value(rest)))
        else:
            parts.append(say("it pays a KL of {kl} nats", kl=value(kl)))
    if kl and index:
        parts.append(say("sigma is {index} of the spread of the means (0 = a point)", index=value(index)))
    elif index:
        parts.append(say("sigma is 0 and there is no KL to say where codes may lie"))
    if law:
        parts.append(say("the codes have variance {variance} (N(0, I): 1)", variance=value(law)))
    if units:
        parts.append(_active(table, model, value(units)))
    if (variance := table.get(model, "decoder_variance")) and kl:
        parts.append(say("its loss implies a decoder variance of {variance}", variance=words.number(variance.mean)))
    if not parts:
        return ""
    return say("{model} is {kind}: {told}.", model=model, kind=say(word), told=words.clauses(parts))


def _active(table: Table, model: str, units: str) -> str:
    """How many dimensions are active, and what the first seed's are."""
    d, kinds = table.latent_dim, dimensions(table, model)
    told = say("{n} of {d} dimensions are active", n=units, d=d) if d else say("{n} dimensions are active", n=units)
    if len(kinds) < 2:
        return told
    return told + say(" (first seed: {kinds})", kinds=words.commas(f"{n} {say(kind)}" for kind, n in kinds.items()))


def _beside(table: Table, said: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pairs of a model of points and each model of regular clouds."""
    points = next((m for m in said if not table.get(m, "kl") and m not in table.collapse), None)
    clouds = [m for m in said if said[m] == "regular" and table.get(m, "kl")]
    return [(points, m) for m in clouds] if points is not None else []


def _fills(table: Table, points: str, clouds: str) -> float:
    """How much less of N(0, I) is empty for ``clouds``; 0 where that is not shown."""
    a, b = table.by.get((points, "hole")), table.by.get((clouds, "hole"))
    p = difference(a, b) if a and b else None
    return -p.difference.mean if p and p.difference.side < 0 else 0.0


def _bought(table: Table, said: Mapping[str, str]) -> list[str]:
    """What clouds buy over points and at which price in reconstruction, where the former is shown."""
    out = []
    for points, clouds in _beside(table, said):
        gain = _fills(table, points, clouds)
        a, b = table.by.get((points, "r2")), table.by.get((clouds, "r2"))
        p = difference(a, b) if a and b else None
        price = say(PRICE[p.difference.side], size=words.number(abs(p.difference.mean))) if p else ""
        if gain:
            out.append(
                say(
                    "What mu and sigma buy {clouds} over the points of {points}: {gain} less of N(0, I) is empty{price}.",
                    clouds=clouds,
                    points=points,
                    gain=words.number(gain),
                    price=price,
                )
            )
    return out
