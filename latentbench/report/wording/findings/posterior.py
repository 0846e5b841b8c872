"""Why mu and sigma? What the posteriors are, which half of the KL they pay, what clouds buy, and what to change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from latentbench.report.wording import words
from latentbench.report.wording.findings.claim_tables import ClaimTable
from latentbench.report.wording.findings.claims import Statement, sentences
from latentbench.report.wording.findings.reasons import CLAUSES, KINDS, RESTS_ON
from latentbench.report.wording.findings.tables import collapsed, reasons, where
from latentbench.report.wording.intervals import NAMED, value
from latentbench.report.wording.language import marked, say
from latentbench.stats.findings.diagnosis import Advice, Diagnosis, dimensions
from latentbench.stats.findings.posterior import METRICS, InUse, Posteriors, Purchase
from latentbench.stats.findings.table import Table

COLUMNS = marked({
    "kl": "KL in nats",
    "kl.mean_part": "means",
    "kl.variance_part": "variances",
    "punctual_index": "sigma over the spread of mu",
    "variance_law": "variance of the codes",
    "active_units": "active dimensions",
})  # fmt: skip
"""What a posterior costs, by measure, as the columns of a table."""
ROUNDING = 1e-6
"""Share of a KL by which its halves may miss it and still make it up."""
PRICE = {
    0: marked("; no difference in R² that matters is shown"),
    1: marked("; R² is {size} higher"),
    -1: marked("; R² is {size} lower"),
}
MEANING = marked({
    "regular": "regular (clouds)",
    "punctual": "punctual (its clouds have shrunk to points)",
    "far apart": "far apart (the prior's mass lies between its clouds)",
})  # fmt: skip
CHANGES = marked({
    "beta is too large": "{model}: beta is too large for these images, no dimension is worth its price; try beta={beta}, or a smaller decoder variance.",
    "most dimensions collapsed": "{model}: most of its dimensions are not worth their price; try beta={beta}, or a smaller decoder variance.",
    "one half of the KL": "{model}: only one half of the KL is in its loss (kl={half}); try kl=full.",
    "points by design": "{model}: its codes are points by design, sigma / sd(mu) = 0; draw from a mixture fitted to them, or train a VAE.",
    "beta is too small": "{model}: beta is too small, sigma / sd(mu) = {index}; try beta={beta}.",
    "means are free": "{model}: nothing holds its means, E mu² / 2 = {nats} nats; try beta={beta}.",
})  # fmt: skip


def posterior(posteriors: Posteriors) -> Statement:
    """The answer from the diagnosis of each model, the halves of its KL, and holes against R²."""
    paid = [s for m, kind in posteriors.diagnoses.items() if (s := _pays(posteriors.table, m, kind))]
    bought = [*map(_bought, posteriors.bought)]
    out = [*paid, *map(_codes, posteriors.codebooks), *_advised(posteriors.advice), *bought]
    out += sentences(posteriors.overlap, posteriors.table.definitions)
    answer = say("Why mu and sigma? {answer}", answer=_headline(posteriors))
    values = _values(posteriors.table, posteriors.diagnoses)
    said = tuple(bought) if posteriors.basis == "purchase" else ()
    return Statement("posterior", answer, tuple(out), METRICS, posteriors.overlap, said, values, tuple(paid))


def _values(table: Table, diagnoses: Mapping[str, Diagnosis]) -> ClaimTable:
    """A row a model: its diagnosis, and what its posterior costs."""
    rows = []
    for model, kind in diagnoses.items():
        cells = [value(i) if (i := table.get(model, metric)) else "–" for metric in COLUMNS]
        rows.append((model, [say(KINDS[kind]), *cells]))
    return ClaimTable([say("model"), say("diagnosis"), *map(say, COLUMNS.values())], rows, True)


def _advised(given: Sequence[Advice]) -> list[str]:
    """The advice for each model, once for those whose codes are points by design."""
    points = [a.model for a in given if a.change == "points by design"]
    rest = [advice(a) for a in given if len(points) < 2 or a.change != "points by design"]
    text = marked(
        "{models}: their codes are points by design, sigma / sd(mu) = 0; draw from a mixture fitted to them, or train a VAE."
    )
    return [*([say(text, models=words.listed(points))] if len(points) > 1 else []), *rest]


def advice(given: Advice) -> str:
    """What to change where a model's posterior is not regular, in a sentence with the number it rests on."""
    own, beta = words.number(given.own), "" if given.beta is None else f"{given.beta:g}"
    return say(CHANGES[given.change], model=given.model, index=own, nats=own, beta=beta, half=given.half)


def _headline(posteriors: Posteriors) -> str:
    """What clouds buy where that is shown, else the diagnosis."""
    table, place = posteriors.table, where(posteriors.table)
    if posteriors.basis == "purchase":
        points = posteriors.bought[0].points
        empty = {m: table.get(m, "hole") for m in (points, *(p.clouds for p in posteriors.bought))}
        share = {m: words.percent(i.mean) for m, i in empty.items() if i}
        clouds = [
            say("{share} from every code of {model}", share=share[p.clouds], model=p.clouds) for p in posteriors.bought
        ]
        return say(
            "So that the prior is not empty: {share} of N(0, I) is far from every code of {points}, {clouds}, {where}.",
            share=share[points],
            points=points,
            clouds=words.listed(clouds),
            where=place,
        )
    if posteriors.basis == "discrete":
        models = words.listed(list(table.models))
        return say(
            "Not asked, {where}: the codes of {models} are discrete and have no width.", models=models, where=place
        )
    if posteriors.basis == "not asked for":
        return say("No diagnosis, {where}: the ratio of sigma to sd(mu) was not asked for.", where=place)
    if posteriors.basis == "nothing":
        why = reasons(table.reasons("punctual_index", "kl"))
        return say("Not measured, {where}: {why}.", where=place, why=why)
    kinds = words.clauses(f"{m} {_in_words(table, m, kind)}" for m, kind in posteriors.diagnoses.items())
    if len(posteriors.diagnoses) > NAMED:
        count = Counter(posteriors.diagnoses.values())
        kinds = words.commas(f"{n} {say(KINDS[kind])}" for kind, n in count.items())
    return say("Diagnosis: {told}, {where}.", told=kinds, where=place)


def _in_words(table: Table, model: str, kind: Diagnosis) -> str:
    if kind == "collapsed":
        return say("collapsed ({why})", why=collapsed(table.collapse[model]))
    index = table.get(model, "punctual_index")
    if kind == "punctual" and not table.get(model, "kl") and index and not index.mean:
        return say("punctual (its codes are points without a sigma)")
    if kind in CLAUSES and kind not in MEANING:
        number = table.get(model, RESTS_ON[kind])
        return say(
            "{kind} ({why})", kind=say(KINDS[kind]), why=say(CLAUSES[kind], value=value(number) if number else "")
        )
    return say(MEANING.get(kind, KINDS.get(kind, kind)))


def _pays(table: Table, model: str, kind: Diagnosis) -> str:
    """What a model's posterior costs and which half of it, in a sentence."""
    parts = []
    kl, mean, rest = (table.get(model, f"kl{part}") for part in ("", ".mean_part", ".variance_part"))
    index, law, units = (table.get(model, m) for m in ("punctual_index", "variance_law", "active_units"))
    if kl:
        if mean and rest and kind != "collapsed":
            whole = abs(kl.mean - mean.mean - rest.mean) <= ROUNDING * max(1.0, abs(kl.mean))
            text = marked("KL {kl} nats = {mean} (means) + {rest} (variances)" if whole else
                          "KL {kl} nats, means {mean}, variances {rest}")  # fmt: skip
            parts.append(say(text, kl=value(kl), mean=value(mean), rest=value(rest)))
        else:
            parts.append(say("KL {kl} nats", kl=value(kl)))
    if index and (kl or index.mean):
        parts.append(say("sigma is {index} of the spread of the means", index=value(index)))
    elif index:
        parts.append(say("sigma is 0 and there is no KL"))
    if law:
        parts.append(say("the codes have variance {variance} (N(0, I): 1)", variance=value(law)))
    if units:
        parts.append(_active(table, model, value(units)))
    if (variance := table.get(model, "decoder_variance")) and kl:
        params = table.params.get(model, {})
        learned = params.get("beta") == 1.0 and params.get("sigma") is None
        text = marked("learned decoder variance {variance}" if learned else "decoder variance {variance} by its loss")
        parts.append(say(text, variance=words.number(variance.mean)))
    if not parts:
        return ""
    return say("{model} is {kind}: {told}.", model=model, kind=say(KINDS[kind]), told=words.clauses(parts))


def _codes(codebook: InUse) -> str:
    """How many of its codes a model with discrete ones uses."""
    numbers = {"model": codebook.model, "used": words.number(codebook.used, 0), "k": words.number(codebook.size, 0)}
    if codebook.few:
        text = marked("Flagged: {model} uses {used} of its {k} codes on the training images.")
    elif codebook.perplexity is None or not codebook.positions:
        text = marked("The codes of {model} are discrete: it uses {used} of {k} on the training images.")
    else:
        text = marked(
            "The codes of {model} are discrete: an image is {positions} of them, {used} of {k} are in use on the training images, "
            "and they are as hard to guess as {perplexity} used alike (perplexity)."
        )
        numbers |= {"positions": words.number(codebook.positions, 0), "perplexity": words.tidy(codebook.perplexity)}
    return say(text, **numbers)


def _active(table: Table, model: str, units: str) -> str:
    """How many dimensions are active, and what the first seed's are."""
    d, kinds = table.latent_dim, dimensions(table, model)
    active = say("{n} of {d} dimensions are active", n=units, d=d) if d else say("{n} dimensions are active", n=units)
    if len(kinds) < 2:
        return active
    return active + say(
        " (first seed: {kinds})", kinds=words.commas(f"{n} {say(KINDS[kind])}" for kind, n in kinds.items())
    )


def _bought(deal: Purchase) -> str:
    """What clouds buy over points and at which price in reconstruction."""
    price = say(PRICE[deal.told], size=words.number(abs(deal.price.mean))) if deal.price else ""
    return say(
        "What mu and sigma buy {clouds} over the points of {points}: {gain} less of N(0, I) is empty{price}.",
        clouds=deal.clouds,
        points=deal.points,
        gain=words.number(deal.gain),
        price=price,
    )
