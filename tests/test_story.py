"""Stories: a verdict is never forced, closed forms are the algebra's, and a recommendation follows from its numbers."""

import math
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import pytest

from latentbench.records import Record
from latentbench.report.story import capacity
from latentbench.report.story.evidence import Part, difference, gap, level, multiple, verdict
from latentbench.stats import linear_vae
from latentbench.stats.findings import capacity as decided
from latentbench.stats.findings import evidence
from latentbench.stats.findings.evidence import measured

BASE = Record(run="r", dataset="d", split="test", latent_dim=8)


def rows(metric, split="test", spread=0.01, **means):
    return [
        replace(BASE, metric=metric, model=m, split=split, seed=s, value=v + spread * math.sin(7 * s + len(m)))
        for m, v in means.items()
        for s in range(6)
    ]


def test_a_claim_is_supported_only_where_every_part_holds():
    def part(holds):
        return Part("", "", holds, "r2")

    assert verdict([part(1), part(1)]) == "supported"
    assert verdict([part(1), part(0)]) == "undecided"
    assert verdict([part(0), part(-1)]) == "not supported"
    assert verdict([]) == "undecided"


def test_differences_are_read_against_nothing():
    m = measured([*rows("hole", ae=0.7, vae=0.1), *rows("r2", ae=0.8, vae=0.8)])
    assert difference(m, "hole", "ae", "vae").holds == 1
    assert difference(m, "hole", "vae", "ae").holds == -1
    assert difference(m, "r2", "ae", "vae").holds == 0
    missing = difference(m, "hole", "ae", "nobody")
    assert missing.holds == 0
    assert "not measured" in missing.number


@pytest.mark.parametrize(("larger", "holds"), [(60.0, 1), (40.0, 0), (20.0, -1)])
def test_at_least_ten_times_means_the_whole_interval(larger, holds):
    m = measured([*rows("kl.mean_part", spread=0.3, wide=larger, vae=4.0)])
    assert multiple(m, "kl.mean_part", "wide", 10, "vae").holds == holds


@pytest.mark.parametrize(("value", "holds"), [(0.001, 1), (0.02, 0), (0.5, -1)])
def test_below_a_limit_means_the_whole_interval(value, holds):
    m = measured(rows("punctual_index", spread=0.0008, free=value))
    assert level(m, "punctual_index", "free", high=0.02).holds == holds


def test_between_two_limits():
    m = measured(rows("variance_law", vae=1.1, far=15.0, edge=1.199))
    assert [level(m, "variance_law", x, 0.8, 1.2).holds for x in ("vae", "far", "edge")] == [1, -1, 0]


def test_one_seed_decides_nothing():
    m = measured([r for r in rows("hole", ae=0.7, vae=0.1) if r.seed == 0])
    assert difference(m, "hole", "ae", "vae").holds == 0
    assert level(m, "hole", "ae", low=0.1).holds == 0


def test_a_measure_that_failed_its_self_check_decides_nothing():
    check = replace(
        BASE, model="check:self", role="check", metric="hole", value=0.0, split="test", detail={"why": ["null is .4"]}
    )
    part = difference(measured([*rows("hole", ae=0.7, vae=0.1), check]), "hole", "ae", "vae")
    assert part.holds == 0
    assert "null is .4" in part.number


def test_the_gap_between_training_and_held_out_images():
    m = measured([*rows("r2", ae=0.5), *rows("r2", split="train", ae=0.9)])
    assert gap(m, "r2", "ae").holds == 1


def test_a_difference_that_does_not_matter_supports_nothing():
    """Sure, and .01 of R²."""
    m = measured([replace(r, bounds=(None, 1.0), unit="share of variance") for r in rows("r2", a=0.80, b=0.81)])
    assert evidence.multiple(m.cell("b", "r2"), 1.0, m.cell("a", "r2")).holds == 1
    assert difference(m, "r2", "b", "a").holds == 0
    assert difference(m, "r2", "a", "b").holds == 0


def test_the_claims_of_a_study_are_made_together():
    """As sure as the least sure part, adjusted for all claims; that a part fails, for all parts."""
    assert evidence.together([[(1, 0.001), (1, 0.04)]]) == ["supported"]
    assert evidence.together([[(1, 0.001), (1, 0.04)], [(1, 0.03)]]) == ["undecided", "undecided"]
    assert evidence.together([[(1, 0.001), (1, 0.04)], [(1, 0.02)]]) == ["supported", "supported"]
    assert evidence.together([[(1, 0.001), (0, 1.0)], [(1, 0.02)]]) == ["undecided", "supported"]
    assert evidence.together([[(-1, 0.01), (1, 0.0)], [(1, 0.001)]]) == ["not supported", "supported"]
    assert evidence.together([[(-1, 0.03), (1, 1.0)]]) == ["undecided"]
    assert evidence.together([[], [(1, 0.0)]]) == ["undecided", "supported"]


def test_closed_forms_of_probabilistic_pca():
    eigenvalues = [9.0, 5.0, 3.0, 2.0, *[0.5] * 8]
    assert linear_vae.kl(eigenvalues, 4, 0.5) == pytest.approx([1.44519, 1.15129, 0.89588, 0.69315], abs=5e-6)
    assert linear_vae.kl(eigenvalues, 14, 0.5)[4:] == [0.0] * 10
    assert [linear_vae.active(eigenvalues, 12, t) for t in (0.4, 0.5, 2.5, 9.0)] == [12, 4, 3, 0]


def grid(r2, valid):
    """A run of ae and vae at depth 2 over d = 1 ... 16."""
    out = []
    for kind in ("ae", "vae"):
        for d, score in r2.items():
            base = replace(BASE, model=f"{kind}:latent_dim={d}:depth=2", latent_dim=d, params={"depth": 2})
            shift = {s: 0.002 * math.sin(5 * s) for s in range(6)}
            out += [replace(base, metric="r2", seed=s, value=score + e) for s, e in shift.items()]
            out += [replace(base, metric="validity.normal", seed=s, value=valid[kind] + e) for s, e in shift.items()]
    models = tuple(dict.fromkeys(r.model for r in out))
    sizes = {r.model: r.latent_dim for r in out}
    return out, SimpleNamespace(models=models, records=out, dataset="d", latent_dim_of=sizes.get, detail={})


def test_the_knee_is_the_least_size_with_nearly_all_of_the_best():
    records, run = grid({1: 0.2, 2: 0.5, 4: 0.8, 8: 0.96, 16: 1.0 - 1e-9}, {"ae": 0.1, "vae": 0.5})
    curves = decided.capacity(measured(records), run.models).curves
    assert [(c.kind, c.depth, list(c.models)) for c in curves] == [
        ("ae", 2, [1, 2, 4, 8, 16]),
        ("vae", 2, [1, 2, 4, 8, 16]),
    ]
    assert {c.size for c in curves} == {8}
    assert capacity.knee_words(curves[0].knee) == "8"


def test_what_is_recommended_reconstructs_and_fills_the_prior():
    records, run = grid({1: 0.2, 2: 0.5, 4: 0.8, 8: 0.81}, {"ae": 0.9, "vae": 0.5})
    m = measured(records)
    found = decided.capacity(m, run.models).recommendation
    assert (found.curve.kind, found.curve.size, found.curve.at_knee) == ("vae", 4, "vae:latent_dim=4:depth=2")
    story = capacity.tell(run, [])
    assert "choose d = 4: vae, depth 2" in story.lead[1]
    assert {c.key: c.verdict for c in story.claims}["a"] == "supported"


def test_without_a_vae_nothing_is_recommended():
    records, run = grid({1: 0.2, 2: 0.5}, {"ae": 0.9, "vae": 0.5})
    only = [r for r in records if r.model.startswith("ae")]
    run = SimpleNamespace(
        **{**vars(run), "models": tuple(x for x in run.models if x.startswith("ae")), "records": only}
    )
    assert "No recommendation" in capacity.tell(run, []).lead[1]
    assert decided.capacity(measured(only), run.models).recommendation is None


@pytest.fixture
def study():
    """Three kinds at two depths over d = 1 ... 8: R² levels off, an ae's prior empties as d grows."""
    out = []
    for kind, depth, d in product(("ae", "vae", "vae:beta=4"), (0, 2), (1, 2, 4, 8)):
        base = replace(BASE, model=f"{kind}:latent_dim={d}:depth={depth}", latent_dim=d, params={"depth": depth})
        r2 = {1: 0.4, 2: 0.6, 4: 0.8, 8: 0.81}[d] - (0.0 if depth else 0.2)
        means = {
            "r2": r2 - (0.01 if kind == "vae:beta=4" else 0.0),
            "validity.normal": {"ae": 0.8 / d, "vae": 0.6, "vae:beta=4": 0.7}[kind],
            "hole": 0.1 * d if kind == "ae" else 0.05,
        }
        for metric, seed in product(means, range(6)):
            value = means[metric] + 0.001 * math.sin(5 * seed + d)
            out.append(replace(base, metric=metric, seed=seed, value=value))
        out.append(replace(base, metric="cost.parameters", value=1000.0 * d))
    return out


def of(study):
    return decided.capacity(measured(study), tuple(dict.fromkeys(r.model for r in study)))


def test_the_recommendation_is_the_fullest_prior_among_those_that_reconstruct_as_well(study):
    found = of(study)
    assert len(found.curves) == 6
    assert (found.recommendation.curve.kind, found.recommendation.curve.depth) == ("vae:beta=4", 2)
    worse = [
        replace(r, value=r.value - decided.CLOSE) if r.metric == "r2" and r.model.startswith("vae:beta") else r
        for r in study
    ]
    assert of(worse).recommendation.curve.kind == "vae"


def test_what_is_claimed_of_the_recommended_size_are_contrasts_of_models(study):
    found = of(study).recommendation

    def model(kind, d, depth=2):
        return f"{kind}:latent_dim={d}:depth={depth}"

    here = model("vae:beta=4", 4)
    assert found.reconstructs == (("r2", here, model("vae:beta=4", 2)),)
    assert found.fills == (
        ("validity.normal", here, model("ae", 4)),
        ("validity.normal", model("ae", 1), model("ae", 8)),
        ("hole", model("ae", 8), model("ae", 1)),
    )
    assert found.deep == (("r2", here, model("vae:beta=4", 4, depth=0)),)
    alone = of([r for r in study if r.model.startswith("vae:beta") and r.params["depth"]]).recommendation
    assert (alone.fills, alone.deep) == ((), ())


def test_what_more_dimensions_than_recommended_buy(study):
    found = of(study).recommendation
    assert found.growth == (2.0, 1)
    assert found.doubling.r2.mean == pytest.approx(0.01, abs=0.002)
    assert found.saturation.holds == 1
    assert found.saturation.gained.mean == pytest.approx(0.01, abs=0.002)


def test_nothing_is_gained_beyond_the_largest_size(study):
    """Where the knee is the largest size that was run, it is saturated by itself and grows no further."""
    found = of([r for r in study if r.latent_dim < 8]).recommendation
    assert found.curve.size == 4
    assert (found.doubling, found.saturation, found.growth) == (None, (None, 1, 0.0), (1.0, 1))


def test_one_seed_leaves_saturation_open_and_weights_uncounted_no_growth(study):
    one = [r for r in study if r.seed == 0]
    found = of(one).recommendation
    assert (found.saturation.holds, found.growth) == (0, None)


def test_fewer_weights_at_the_largest_size_are_told(study):
    odd = [replace(r, value=1.0 / r.latent_dim) if r.metric == "cost.parameters" else r for r in study]
    assert of(odd).recommendation.growth == (0.5, -1)
