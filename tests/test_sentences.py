"""Every number in every sentence of a run's verdict follows from results.csv, by pandas and scipy alone.

A sentence with a digit in it must be one of the forms below, whole; each says what its numbers are, and they are computed
anew. A form that is not known fails, so that no sentence slips in unchecked.
"""

from __future__ import annotations

import io
import math
import re
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from made_up import anchor, rows
from scipy import stats
from synthetic_run import Synthetic, build

import latentbench as lb
from latentbench import records
from latentbench.report.exports.tables import results_csv
from latentbench.report.wording.findings import answers, statements
from latentbench.report.wording.phrases import phrase

N = r"[−-]?(?:≈ )?\d[\d ]*(?:\.\d+)?(?: k| M)?"
PAIR = rf"({N}) for (\S+?)"
JITTER = np.array([-0.011, 0.004, 0.0, 0.012, -0.006, 0.001])


class Results:
    """results.csv of one run: ``seeds[model, metric]`` its values by seed on held-out images, ``anchors`` what has none."""

    def __init__(self, found):
        frame = pd.read_csv(io.StringIO(results_csv(found)), keep_default_na=False)
        frame = frame[frame.split.isin(["test", ""]) & (frame.value != "")]
        frame = frame.assign(value=frame.value.astype(float))
        seeded = frame[(frame.role == "model") & (frame.seed != "")]
        self.seeds = {key: group.set_index("seed").value for key, group in seeded.groupby(["model", "metric"])}
        alone = frame[(frame.seed == "") & ~frame.role.isin(["model", "check"])]
        self.anchors = {key: group.value.iloc[-1] for key, group in alone.groupby(["model", "metric"])}
        once = frame[(frame.seed == "") & (frame.role == "model")]
        self.once = once[~once.metric.isin(seeded.metric)]
        self.models = list(dict.fromkeys(seeded.model))
        self.d = sorted({int(float(d)) for d in seeded.latent_dim if d != ""})
        self.low = frame.set_index("metric").better
        head = records.run_record(found)
        self.declared = (head.detail.get("definitions") or {}) if head else {}
        self.names = {phrase(m, self.declared): m for m in dict.fromkeys(seeded.metric)}
        whole = pd.read_csv(io.StringIO(results_csv(found)), keep_default_na=False)
        # A time that was taken while other work ran claims nothing; that stands in no column.
        idle = ~whole.metric.isin([r.metric for r in found if r.detail.get("rankable") is False])
        self.every = whole[(whole.role == "model") & (whole.seed != "") & (whole.value != "") & idle]

    def mean(self, model, metric):
        return self.seeds[model, metric].mean() if (model, metric) in self.seeds else self.anchors[model, metric]

    def half(self, model, metric):
        x = self.seeds[model, metric]
        return stats.t.ppf(0.975, len(x) - 1) * x.std() / math.sqrt(len(x))

    def difference(self, other, first, metric, than=None):
        d = (self.seeds[other, than or metric] - self.seeds[first, metric]).dropna()
        half = stats.t.ppf(0.975, len(d) - 1) * d.std() / math.sqrt(len(d))
        return d, d.mean(), d.mean() - half, d.mean() + half

    def metric(self, words):
        (found,) = {m for p, m in self.names.items() if words.lower() in [w.lower() for w in p]}
        return found

    def claims(self, headlines=False):
        """How many pairs of models share two seeds or more in a metric on a split; of headlines, on held-out images."""
        every = self.every
        if headlines:
            named = [m for m, declared in self.declared.items() if declared.get("headline")]
            every = every[every.metric.isin(named) & every.split.isin(["test", ""])]
        groups = [(k, g.set_index("seed").value) for k, g in every.groupby(["model", "metric", "split"])]
        pairs = combinations(groups, 2)
        return sum(
            a[0] != b[0] and a[1:] == b[1:] and len(x.index.intersection(y.index)) > 1 for (a, x), (b, y) in pairs
        )


def flips(d):
    """The exact sign-flip test, over all patterns."""
    signs = np.array(list(product([1, -1], repeat=len(d))))
    return float(np.mean(np.abs(signs @ d.to_numpy()) >= abs(d.sum()) * (1 - 1e-9)))


def near(text, number):
    """A number as it is said, to its last digit."""
    said = text.replace("−", "-").replace(" ", "")
    if "≈" in said:
        return abs(number) < 1e-6
    return abs(float(said) - number) <= 0.5000001 * 10.0 ** -len(said.partition(".")[2])


def tidy(text, number):
    """The same of a number with three significant digits, of which noughts at the end were left out."""
    size = abs(number)
    places = 0 if size == 0 or size >= 1000 else min(5, max(0, 2 - math.floor(math.log10(size))))
    return near(text, number) and (
        "." not in text or abs(float(text.replace("−", "-")) - number) <= 0.5000001 * 10.0**-places
    )


def share(text, number):
    return abs(float(text.replace(" ", "")) - 100 * number) <= (0.0500001 if "." in text else 0.5000001)


def plain(sentence):
    return sentence.replace("\N{NARROW NO-BREAK SPACE}", " ")


def _versus(r, m):
    other, does, first, its, own, d, low, high, n, p = m.groups()
    metric = r.metric(does)
    pairs, mean, least, most = r.difference(other, first, metric)
    assert tidy(its, r.mean(other, metric))
    assert tidy(own, r.mean(first, metric))
    assert all(map(near, (d, low, high), (mean, least, most)))
    assert int(n) == len(pairs)
    assert (mean > 0) == (does.lower() == phrase(metric, r.declared).higher.lower())
    assert p is None or near(p, flips(pairs)) or math.isclose(float(p), flips(pairs), rel_tol=0.05)


SHARES = (
    "validity",
    "midpoint.validity",
    "overlap",
    "coverage",
    "uniq",
    "novel",
    "hole",
    "path.validity",
    "memorisation",
    "valid_",
    "r2",
    "path.jump",
)


def matters(r, other, first, metric):
    """The least difference that does: .02 of a share, 5 % of anything else."""
    return 0.02 if metric.startswith(SHARES) else 0.05 * max(abs(r.mean(m, metric)) for m in (other, first))


def _open(r, m):
    other, first, which, noun, its, own, d, low, high, n, effect, seeds = m[1:] if isinstance(m, list) else m.groups()
    metric = r.metric(noun)
    pairs, mean, least, most = r.difference(other, first, metric)
    assert tidy(its, r.mean(other, metric))
    assert tidy(own, r.mean(first, metric))
    assert all(map(near, (d, low, high), (mean, least, most)))
    assert int(n) == len(pairs)
    effect_needed = matters(r, other, first, metric)
    assert (which == "are equivalent") == (max(-least, most) <= effect_needed * (1 + 1e-9))
    if seeds is not None:
        assert near(effect, effect_needed)
        k, level = int(seeds), 0.05 / r.claims(bool(r.declared.get(metric, {}).get("headline")))
        power = [
            stats.nct.sf(stats.t.ppf(1 - level / 2, n - 1), n - 1, effect_needed * math.sqrt(n) / pairs.std())
            for n in (k - 1, k)
        ]
        assert power[0] < 0.8 + 1e-3
        assert power[1] >= 0.8 - 1e-3


def _unshown(r, m):
    """The same, put in another order."""
    _open(r, [m[0], m[2], m[3], "cannot be told apart", m[1], *m.groups()[3:]])


def _equal(r, m):
    """Two models whose every value is alike: no interval."""
    other, first, noun, its, own, d, n, effect = m.groups()
    metric = r.metric(noun)
    pairs, mean, _, _ = r.difference(other, first, metric)
    assert tidy(its, r.mean(other, metric))
    assert tidy(own, r.mean(first, metric))
    assert near(d, mean)
    assert int(n) == len(pairs)
    assert near(effect, matters(r, other, first, metric))


def _each(metric, check=tidy):
    """``value for model`` lists of one metric."""

    def rule(r, m):
        for text, model in re.findall(PAIR + r"(?=,| and|$| \()", m[1]):
            assert check(text, r.mean(model, metric)), (text, model)

    return rule


def _shares(r, m):
    for text, model in re.findall(rf"({N}) % for (\S+?)(?=,| and|$)", m[1]):
        assert share(text, r.mean(model, "validity.normal"))
    assert m[2] is None or share(m[2], r.anchors["ceiling:real", "validity.normal"])


def _scale(r, m):
    assert share(m[1], r.anchors["ceiling:real", "validity.normal"])
    assert share(
        m[2],
        max(
            v for (model, metric), v in r.anchors.items() if model.startswith("floor:") and metric == "validity.normal"
        ),
    )


def _mixture(r, m):
    for d, low, high, model in re.findall(rf"({N}) \[({N}), ({N})\] for (\S+?)(?=,| and|$)", m[1]):
        assert all(map(near, (d, low, high), r.difference(model, model, "validity.normal", "validity.mixture")[1:]))


def _classes(r, m):
    _each("valid_label_tv")(r, m)
    assert near(m[2], r.anchors["ceiling:real", "valid_label_tv"])


def _purchase(r, m):
    for text, model in ((m[1], m[2]), (m[3], m[4])):
        assert share(text, r.mean(model, "hole"))


def _paid(r, m):
    """What a posterior costs, clause by clause."""
    model = m[1]
    clauses = (
        (rf"KL ({N})(?: ± ({N}))? nats", "kl"), (rf"(?:= |means )({N})(?: ± ({N}))?(?: \(means\))?", "kl.mean_part"),
        (rf"(?:\+ |variances )({N})(?: ± ({N}))?(?: \(variances\))?", "kl.variance_part"),
        (rf"sigma is ({N})(?: ± ({N}))? of the spread", "punctual_index"),
        (rf"the codes have variance ({N})(?: ± ({N}))?", "variance_law"),
        (rf"({N})(?: ± ({N}))? of {r.d[0]} dimensions are active", "active_units"),
        (rf"decoder variance ({N})()", "decoder_variance"),
    )  # fmt: skip
    rest = m[2]
    for form, metric in clauses:
        if found := re.search(form, rest):
            assert near(found[1], r.mean(model, metric)), (metric, found[0])
            assert not found[2] or near(found[2], r.half(model, metric)), (metric, found[0])
            rest = rest.replace(found[0], "")
    rest = re.sub(r"\(N\(0, I\): 1\)|\(0 = a point\)|sigma is 0 and there is no KL", "", rest)
    assert not re.search(r"\d", re.sub(r"\(first seed: [^)]*\)", "", rest)), rest


def _buys(r, m):
    assert near(m[3], -r.difference(m[1], m[2], "hole")[1])
    assert m[4] is None or near(m[4], abs(r.difference(m[1], m[2], "r2")[1]))


def _rebuilt(r, m):
    _each("r2")(r, m)
    assert near(m[2], r.anchors["baseline:pca", "r2"])


def _pca(r, m):
    pca = r.anchors["baseline:pca", "r2"]
    assert near(m[1], pca)
    for word, names in re.findall(r"(better|worse|tied|cannot be told apart)[^:]*: ([^;.]+)", m[2]):
        for model in re.split(r", | and ", names):
            low, high = (r.mean(model, "r2") + s * r.half(model, "r2") - pca for s in (-1, 1))
            assert {"better": low > 0, "worse": high < 0}.get(word, low <= 0 <= high)


def _times(r, m):
    for mean, half, model in re.findall(rf"({N}) ± ({N}) s for (\S+?)(?=,| and|$)", m[1] or m[2]):
        assert near(mean, r.mean(model, "train.seconds"))
        assert near(half, r.half(model, "train.seconds"))


def _counts(r, m):
    once = r.once[r.once.metric == "cost.parameters"].set_index("model").value
    for text, model in re.findall(rf"({N}) for (\S+?)(?=,| and|$)", m[1]):
        assert near(text, once[model])


def _rates(r, m):
    speeds = {"encoding": "encode", "decoding": "decode", "sampling": "sample", "training": "train_step"}
    for work, ratio, batch in re.findall(rf"(\w+) × ({N}) \(batch (\d+)", m[3]):
        rate = r.once[r.once.metric == f"throughput.{speeds[work]}"]
        rate = rate[rate.metric_params.str.contains(rf'"batch":{batch}\b')].set_index("model").value
        assert near(ratio, rate[m[1]] / rate[m[2]])


def _seeds(r, m):
    assert int(m[1]) == max(len(x) for x in r.seeds.values())


def _judged(r, m):
    """The floors that any judge must refuse, the kinds shown to its training and those never shown."""
    judge = {k: v for (model, k), v in r.anchors.items() if model == "judge"}
    tried = {k: v for k, v in judge.items() if k.startswith("judge.pass.") and k != "judge.pass.real"}
    assert int(m[2]) <= len(tried)
    assert any(share(m[1], v) for v in tried.values())
    if m[3] is not None:
        assert int(m[3]) + int(m[5]) <= len(tried)
        assert any(share(m[4], v) for v in tried.values())
        assert any(share(m[6], v) for v in tried.values())
    assert share(m[7], judge["judge.pass.real"])
    assert near(m[8], judge["judge.accuracy"])


def _failed(r, m):
    assert int(m[4]) == max(len(x) for x in r.seeds.values())
    assert int(m[3]) == int(m[4]) - len(r.seeds[m[1], m[2]])


def _holm(r, m):
    assert int(m[1]) == r.claims(headlines=True)
    assert int(m[2]) == r.claims()


def _flip_least(r, m):
    assert near(m[1], 2.0 ** (1 - int(m[2])))


def _one_model(r, m):
    metric = r.metric(m[1])
    assert near(m[3], r.mean(m[2], metric))
    assert near(m[4], r.half(m[2], metric))
    assert int(m[5]) == len(r.seeds[m[2], metric])


def _flagged(r, m):
    """Why a model is flagged, clause by clause; also why an answer is what it is."""
    left = m[2]
    for form, metric, check in (
        (rf"({N}) of its draws from N\(0, I\) are valid, of real images ({N})", "validity.normal", share),
        (rf"its draws cover ({N}) of the real images, real ones ({N})", "coverage", share),
        (rf"its draws repeat one another: ({N}) of them are new, of real images ({N})", "uniqueness", share),
        (rf"its draws are more often valid \(({N})\) than real images \(({N})\)", "validity.normal", share),
        (
            rf"classes of its valid draws are ({N}) away from those of the data, of real images ({N})",
            "valid_label_tv",
            tidy,
        ),
        (rf"worse than PCA of the same size, R² ({N}) against ({N})", "r2", tidy),
        (rf"memorisation is ({N}), where .5 copies nothing and 1 copies only()", "memorisation", tidy),
        (rf"the largest step is still ({N}) of what it was \(continuous: 0.5\)()", "path.refinement", tidy),
        (rf"the largest step takes ({N}) of the way beyond()", "path.jump", tidy),
        (rf"sigma is ({N}) of the spread of the means()", "punctual_index", tidy),
    ):
        if found := re.search(form.replace(N, N + " ?%?") if check is share else form, left):
            assert check(found[1].rstrip(" %"), r.mean(m[1], metric)), found[0]
            real = r.anchors.get(("baseline:pca" if metric == "r2" else "ceiling:real", metric))
            assert not found[2] or check(found[2].rstrip(" %"), real), found[0]
            left = left.replace(found[0], "")
    assert not re.search(r"\d", left.replace("N(0, I)", "")), left


def _points(r, m):
    assert r.mean(m[1], "punctual_index") == 0


def _nothing(r, m):
    """Numbers that the sentence always has: a method, not a result."""


HERE = r"(?: \([^)]*\))?(?: \(flagged: [^)]*\))?, on \S+ at d = \d+\."
ALIKE = rf"({N}) and ({N}), paired difference ({N}) \[({N}), ({N})\] over (\d+) seeds(?:; to see a difference of ({N}) takes about (\d+) seeds)?\."
FORMS = (
    (rf"(\S+) (.+) than (\S+): ({N}) against ({N}), paired difference ({N}) \[({N}), ({N})\] over (\d+) seeds(?: \(sign-flip p = ({N})(?:: borderline)?\))?\.", _versus),
    (r"(\S+) and (\S+) (cannot be told apart|are equivalent) in (.+): " + ALIKE, _open),
    (r"No difference that matters is shown in (.+) between (\S+) and (\S+): " + ALIKE, _unshown),
    (
        rf"(\S+) and (\S+) are equivalent in (.+): ({N}) and ({N}), paired difference ({N})(?: \[.*\])? over (\d+) seeds, within ± ({N})\.",
        _equal,
    ),
    (r"Continuous\? The images between two codes are [^\d]*" + HERE, _nothing),
    (r"Between images of two different classes alone, that gain is (.*)\.", _nothing),
    (r"A straight path alone proves nothing: a cross-fade of pixels is perfectly straight, and blur helps\. Read it beside R²: (.*)\.", _each("r2")),
    (rf"Complete\? Of draws from N\(0, I\) the judge accepts (.*?)(?:, of real images ({N}) %)?(?:: [^:]*?)?(?: \(flagged: [^)]*\))?, on \S+ at d = \d+\.", _shares),
    (rf"Read every share between ({N}) %, what the judge accepts of real held-out images, and ({N}) %, at most, of noise, shuffled pixels and images of one grey\.", _scale),
    (r"The sampler decides too: a mixture fitted to the codes instead of N\(0, I\) adds to the valid share (.*)\.", _mixture),
    (r"Nothing asked [^\d]* to fill N\(0, I\), [^\d]*\.", _nothing),
    (rf"Classes of valid N\(0, I\) draws, distance from those of the training labels \(0 = same shares\): (.*); real images ({N})\.", _classes),
    (rf"Why mu and sigma\? So that the prior is not empty: ({N}) % of N\(0, I\) is far from every code of (\S+), ({N}) % from every code of (\S+), on \S+ at d = \d+\.", _purchase),
    (r"(\S+) is (?:regular|punctual|[a-z ]+): (.*)\.", _paid),
    (rf"What mu and sigma buy (\S+) over the points of (\S+): ({N}) less of N\(0, I\) is empty(?:; R² is ({N}) (?:higher|lower)|; no difference in R² (?:is told|that matters is shown))?\.", _buys),
    (rf"What did it cost\? Reconstruction of held-out images, R² (.*?) \(PCA of the same size ({N})\)(?:: .*)?, on \S+ at d = \d+\.", _rebuilt),
    (rf"Against PCA with the same number of dimensions \(R² ({N})\): (.*)\.", _pca),
    (r"Flagged: (\S+), because (.*)\.", _flagged),
    (rf"Worse than PCA of the same size: (\S+), (R² {N} against {N}); its codes hold less than linear ones\.", lambda r, m: _flagged(r, [m[0], m[1], f"worse than PCA of the same size, {m[2]}"])),
    (r"(\S+): its codes are points by design, sigma / sd\(mu\) = 0; .*", _points),
    (r"Undertrained: \D* \(the validation loss still fell when training ended, or fewer than 2 000 steps were made\); .*", _nothing),
    (r"Parameters: (.*)\.", _counts),
    (r"One training (?:takes (.*)\.|took (.*), timed while other work ran on the machine: this ranks nobody\.)", _times),
    (r"Images a second, (\S+) against (\S+)(?: on [\w, ]+)?: ()?(.*)\.", lambda r, m: _rates(r, [m[0], m[1], m[2], m[4]])),
    (r"How sure\? (\d+) seeds, one split of the data and one judge, on \S+ at d = \d+\.", _seeds),
    (rf"The judge passed its self-check: it accepts at most ({N}) % of each of the (\d+) kinds of junk that any judge must refuse \(allowed: 5 %\)\.(?: Of (\d+) kinds shown to its training it accepts at most ({N}) % \([^)]*\), of (\d+) never shown at most ({N}) % \([^)]*\)\.)? It accepts ({N}) % of real held-out images\. It tells their classes apart with accuracy ({N})\.", _judged),
    (r"(\S+) failed in (\S+) at (\d+) of (\d+) seeds: .*", _failed),
    (r"Intervals are 95 % t-intervals, .*", _nothing),
    (r"Levels hold for this split of the data: over three splits of digits .*", _nothing),
    (r"Better, worse, higher and lower: p, .* \(Holm: (\d+) of the headlines, (\d+) in all\), .*", _holm),
    (rf"The exact sign-flip test, .* below p = ({N}) with (\d+) seeds: 6 are the least for one claim at 5 %\.", _flip_least),
    (rf"(.+): (\S+) ({N}) ± ({N}) over (\d+) seeds\.", _one_model),
)  # fmt: skip


def checked(r, sentence):
    """True where the sentence is of a known form, whose numbers are then held to the results."""
    for form, rule in FORMS:
        if (m := re.fullmatch(form, sentence)) is not None:
            rule(r, m)
            assert all(int(d) in r.d for d in re.findall(r"at d = (\d+)", sentence))
            return True
    return False


def measured(model, **means):
    metrics = {name.replace("__", "."): mean for name, mean in means.items()}
    bounded = {"bounds": (0.0, 1.0), "unit": "share"}
    return [
        r
        for k, (name, mean) in enumerate(metrics.items())
        for r in rows(model, name, mean + np.roll(JITTER, k + len(model)), **bounded)
    ]


EXTRA = (
    *measured("ae", coverage=0.1, uniqueness=0.93, path__validity_gain__real=0.1, path__jump=0.02, memorisation=0.55,
              valid_label_tv=0.3, r2__draw=0.8),
    *measured("vae", coverage=0.7, uniqueness=0.97, path__validity_gain__real=0.2, path__jump=0.03, memorisation=0.54,
              valid_label_tv=0.12, r2__draw=0.79),
    *(r for m in ("ae", "vae") for r in rows(m, "path.refinement", 0.52 + JITTER / 9, bounds=(0.5, None), unit="ratio")),
    anchor("ceiling:real", "coverage", 0.96), anchor("ceiling:real", "valid_label_tv", 0.03),
    anchor("ceiling:real", "uniqueness", 1.0),
)  # fmt: skip


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    folder = build(tmp_path_factory.mktemp("sentences") / "run", Synthetic(extra=EXTRA))
    return records.read(folder / "records.jsonl")


def hold(found):
    r = Results(found)
    told = [plain(s) for v in statements(found) for s in (v.headline, *v.sentences)]
    unknown = [s for s in told if re.search(r"\d", s.replace("N(0, I)", "")) and not checked(r, s)]
    assert not unknown
    return told


def test_every_number_of_a_verdict_follows_from_the_results(synthetic):
    told = hold(synthetic)
    assert sum(bool(re.search(r"\d", s)) for s in told) > 25


@pytest.mark.parametrize(
    ("true", "false"),
    [
        ("0.462 against", "0.472 against"), ("over 6 seeds (sign", "over 5 seeds (sign"), ("more valid draws", "fewer valid draws"),
        ("46 % for vae", "47 % for vae"),
    ],
)  # fmt: skip
def test_a_number_that_does_not_follow_is_caught(synthetic, true, false):
    r = Results(synthetic)
    told = [plain(s) for v in statements(synthetic) for s in (v.headline, *v.sentences) if true in plain(s)]
    assert told
    for sentence in told:
        with pytest.raises((AssertionError, ValueError)):
            assert checked(r, sentence.replace(true, false))


def test_the_reasons_of_answers_tell_the_results_too(synthetic):
    r = Results(synthetic)
    told = [plain(why) for row in answers.rows(synthetic) for why in row.why]
    assert any(re.search(r"\d", why) for why in told)
    for why in told:
        model, reasons = re.fullmatch(r"(\S+), [a-z ]+\? [a-z ]+: (.*)\.", why).groups()
        _flagged(r, ["", model, reasons])


@pytest.mark.slow
def test_every_number_of_the_default_run_follows_from_its_results(tmp_path):
    hold(lb.run(out=tmp_path / "run").records)
