"""Models trained with a prior of their own: what is asked about it, how it stands beside N(0, I), and who cheats with it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from cheats import DATA, once_trained, principal
from fakes import known_answer, latent_encoding, normal, value
from made_up import anchor, rows, steady
from scipy.stats import norm
from torch import nn

from latentbench.catalog import find_metrics, metrics
from latentbench.core import DECODER, JUDGE, Prior
from latentbench.measuring import scoring
from latentbench.metrics.likelihood import importance_weights
from latentbench.metrics.samplers import drawn, prior_codes, trained_with
from latentbench.records import OWN, Reason, Record
from latentbench.report.wording.findings import statements
from latentbench.running.provenance import define
from latentbench.stats.cells import summarise
from latentbench.stats.findings import answers
from latentbench.stats.findings.table import tables
from latentbench.testing import ContractBroken, check_model
from latentbench.testing.examples import example_encoding, own_prior_encoding, two_hills

CPU = torch.device("cpu")
NAMELESS = Prior(lambda noise, _: noise, lambda z: -0.5 * (z.square() + math.log(2 * math.pi)).sum(1))
"""N(0, I) as a model's own prior."""
LABELLED = ("valid_label_tv", "valid_label_entropy", "validity.per_class")
UNDER_PRIOR = [m for m in metrics().values() if m.under_prior and not m.standard]


def with_prior(prior, e=None):
    e = example_encoding(dtype=torch.float64) if e is None else e
    return replace(e, prior=prior, train=replace(e.train, prior=prior))


# --- what is asked about it ---


@pytest.mark.parametrize("metric", UNDER_PRIOR, ids=lambda m: m.name)
def test_what_asks_about_the_prior_asks_about_the_models_own(metric):
    """N(0, I) by another name reads as N(0, I) does, but for what only draws can say of it; another prior reads otherwise."""
    e = example_encoding(dtype=torch.float64)
    if metric.name == "novelty":  # half of the prior decodes to a training image
        kept = e.train.x[:1]
        e = replace(e, decode=lambda z: torch.where((z[:, 0] > 0)[:, None, None, None], kept, 1 - kept))
    codes = e.train.z

    def at_codes(noise, generator):
        """A prior that lies where the codes lie."""
        return codes[torch.randint(len(codes), (len(noise),), generator=generator)] + 0.05 * noise

    first = torch.tensor([0.1, 1.0, 1.0], dtype=torch.float64)
    others = {
        **dict.fromkeys(("kl", "elbo", "nll.iw", "recall", "precision", "density", "coverage"), two_hills()), "novelty": Prior(lambda noise, _: noise.abs()),
        "uniqueness": Prior(lambda noise, _: noise * first), **dict.fromkeys(LABELLED, Prior(lambda noise, _: noise * first)),
    }  # fmt: skip
    e, same, other = (with_prior(p, e) for p in (None, NAMELESS, others.get(metric.name, Prior(at_codes))))
    one, again, differs = (value(metric.name, x) for x in (e, same, other))
    slack = {"prior.mmd": 0.02, "prior.sliced_w2": 0.15, "prior.c2st": 0.1, "kl": 0.6}.get(metric.name, 0.0)
    slack = 0.03 if metric.name.startswith("hole") else slack
    assert again == pytest.approx(one, rel=1e-6, abs=slack or 1e-9)
    assert abs(differs - one) > slack + 1e-6, (one, differs)


def test_what_names_a_sampler_stays_with_it():
    e, own = with_prior(None), with_prior(two_hills())
    for name in ("validity.normal", "validity.gaussian", "judge_frechet", "judge_kid", "hole.gaussian"):
        assert value(name, own) == value(name, e)
        assert not metrics()[name].under_prior


def test_closed_forms_of_the_normal_prior_are_skipped_with_the_reason():
    own = with_prior(two_hills())
    for name in ("kl.mean_part", "kl.variance_part", "variance_law"):
        reason = own.absent(metrics()[name].needs)
        assert reason == "the model was trained with a prior of its own, not with N(0, I)"
        assert not with_prior(None).absent(metrics()[name].needs)
    nameless = with_prior(Prior(two_hills().draw))
    for name in ("kl", "elbo", "nll.iw"):
        assert not own.absent(metrics()[name].needs)
        assert "no density" in nameless.absent(metrics()[name].needs)


def test_a_posterior_of_another_kind_has_no_widths():
    e = replace(example_encoding(None), family="von Mises-Fisher")
    for name in ("active_units", "punctual_index", "overlap", "variance_law"):
        assert "neither Gaussian nor a point" in e.absent(metrics()[name].needs)


def test_draws_hang_on_the_seed_and_not_on_the_sampler():
    e = with_prior(Prior(lambda noise, _: 2 * noise + 1))
    assert trained_with(e) == "prior"
    torch.testing.assert_close(prior_codes(e, "prior", 50), 2 * prior_codes(e, "normal", 50) + 1)
    torch.testing.assert_close(*drawn(e, "prior", (7, 7), "twice", "pick")[:1] * 2)


@known_answer("kl")
def test_the_kl_to_a_normal_prior_elsewhere_is_its_closed_form():
    """q = N(1, .5^2 I_3), p = N(2, 2^2 I_3): 3 (ln 4 + (.25 + 1) / 8 - .5)."""
    mu = torch.ones(40_000, 3, dtype=torch.float64)
    z = 1 + 0.5 * normal((40_000, 3), "draws")
    e = replace(latent_encoding(mu, mu, torch.full_like(mu, 2 * math.log(0.5))), z=z)
    p = torch.distributions.Normal(2.0, 2.0)
    e = replace(e, prior=Prior(lambda noise, _: 2 + 2 * noise, lambda z: p.log_prob(z).sum(1)))
    assert value("kl", e) == pytest.approx(3 * (math.log(4) + 1.25 / 8 - 0.5), abs=0.02)


def test_importance_weights_take_the_priors_own_density():
    mu, noise = normal((4, 2), "mu"), normal((6, 4, 2), "noise")
    log_var = torch.full_like(mu, -1.0)
    x = torch.zeros(4, 1, 1, 1)
    found = importance_weights(x, mu, log_var, noise, lambda x, z: z[:, 0], two_hills().log_prob)
    z = (mu + math.exp(-0.5) * noise).numpy()
    hills = [norm.logpdf(z[..., 0], m, 0.7) + norm.logpdf(z[..., 1], 0, 0.7) for m in (-1.5, 1.5)]
    log_q = norm.logpdf(noise.numpy()).sum(-1) + 1.0
    expected = z[..., 0] + torch.logsumexp(torch.tensor(np.array(hills)), 0).numpy() - math.log(2) - log_q
    torch.testing.assert_close(found, torch.from_numpy(expected))


# --- models that cheat with their prior ---


class Cheat(nn.Module):
    """Principal components of digits, and a prior of its own."""

    latent_dim = 8
    model = principal(8)

    def __init__(self, prior):
        super().__init__()
        self.draw = prior

    def encode(self, x):
        return self.model.encode(x)

    def decode(self, z):
        return self.model.decode(z)

    def prior(self, noise, generator):
        return self.draw(noise, generator)


class Table(Cheat):
    """A table of training images by their codes, and a prior that is the table."""

    stored = principal(8).encode(DATA.train.x).mu

    def __init__(self):
        super().__init__(lambda noise, g: self.stored[torch.randint(len(self.stored), (len(noise),), generator=g)])

    def decode(self, z):
        return DATA.train.x[torch.cdist(z, self.stored).argmin(1)]


class BlurredTable(Table):
    """The same table, but decoded as the honest model decodes."""

    def decode(self, z):
        return self.model.decode(z)


WANTED = (
    "r2", "validity.normal", "validity.prior", "coverage", "valid_label_tv", "uniqueness", "memorisation", "density",
    "active_units",
)  # fmt: skip


def measured(make, name, seeds=(0, 1, 2), wanted=WANTED):
    """The records of a model over a few seeds, with the anchors."""
    found, judge = list(find_metrics(wanted).values()), once_trained(DATA)
    head = Record(kind="run", detail={"definitions": define(found)})
    out = [head, *scoring.references(scoring.encode(principal(8), DATA, 0, CPU, judge, {}), found, row("anchor", 0))]
    for seed in seeds:
        out += scoring.score(scoring.encode(make(), DATA, seed, CPU, judge, {}), found, row(name, seed))
    return out


def row(name, seed):
    return Record(dataset="digits", model=name, latent_dim=8, seed=seed)


def complete(records):
    (one,) = [a for a in answers(records) if a.question == "complete"]
    return one


def test_a_prior_that_is_a_table_of_training_codes_is_not_complete():
    found = measured(Table, "table")
    assert complete(found).answer == "no"
    assert complete(found).reasons == ("copies",)
    by = {r.metric: r.value for r in found if r.seed == 0 and r.model == "table"}
    assert by["validity.prior"] > 0.8  # real images are valid
    assert by["memorisation"] > 0.95


def test_stored_codes_decoded_honestly_are_not_complete_either():
    found = measured(BlurredTable, "stored codes")
    assert complete(found).answer in ("no", "partly", "not told")
    assert {"repeats", "copies in part", "copies"} & set(complete(found).reasons)
    copied = next(r for r in found if r.metric == "memorisation" and r.model == "stored codes")
    assert copied.detail["sampler"] == "prior"


def test_a_prior_that_ignores_its_noise_is_not_complete():
    one = principal(8).encode(DATA.train.x[:1]).mu
    found = measured(lambda: Cheat(lambda noise, g: one.expand(len(noise), -1)), "one code")
    assert complete(found).answer == "no"
    assert "repeats" in complete(found).reasons


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda n, g: n * math.nan, r"the model's prior\(\) gave 16000 of 16000 numbers that are not finite"),
        (lambda n, g: n[:, :3], r"the model's prior\(\) gave shape \(2000, 3\), expected \(2000, 8\)"),
        (lambda n, g: 7, r"the model's prior\(\) gave int, expected a tensor of shape \(2000, 8\)"),
    ],
)
def test_a_broken_prior_is_a_failure_that_says_what_is_wrong(draw, message):
    found = measured(lambda: Cheat(draw), "broken", (0,), ("validity.normal", "validity.prior", "uniqueness"))
    of = {r.metric: r for r in found if r.model == "broken"}
    assert of["validity.normal"].status == "ok"
    for name in ("validity.prior", "uniqueness"):
        assert of[name].status == "failed"
        with pytest.raises(ValueError, match=message):
            raise ValueError(of[name].reason)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"prior": lambda self, n, g: torch.ones_like(n)}, "neither on its noise nor on its generator"),
        ({"prior": lambda self, n, g: n[:, :1]}, "prior gives shape"),
        ({"prior": lambda self, n, g: n / 0}, "not finite"),
        ({"prior": lambda self, n, g: n + torch.rand(())}, "other points for the same noise"),
        ({"log_prior": lambda self, z: 1 + self.own.log_prob(z).sum(1)}, "its mass is 2.7"),
        ({"log_prior": lambda self, z: torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)}, "another density"),
        ({"log_prior": lambda self, z: self.own.log_prob(z)}, "log_prior gives shape"),
    ],
)
def test_the_laws_of_a_model_hold_its_prior_to_what_it_says(broken, message):
    from latentbench.models.vae import VariationalAutoencoder

    class Moved(VariationalAutoencoder):
        own = torch.distributions.Normal(1.0, 0.5)

        def prior(self, noise, generator):
            return 1 + 0.5 * noise

        def log_prior(self, z):
            return self.own.log_prob(z).sum(1)

    check_model(Moved)
    with pytest.raises(ContractBroken, match=message):
        check_model(type("Broken", (Moved,), broken))


# --- beside models of N(0, I) ---


STANDARD = Reason.of("model.standard_prior", "the model has no prior of its own: it is N(0, I)")
HEAD = Record(
    kind="run", detail={"definitions": define(find_metrics(["validity.normal", "validity.prior", "hole"]).values())}
)
ANCHORS = [anchor("ceiling:real", "validity.normal", 0.9), anchor("floor:noise", "validity.normal", 0.02)]


def none_of_its_own(model):
    base = row(model, 0)
    return [
        replace(base, seed=s, split="test", metric="validity.prior", status="skipped", reason=STANDARD)
        for s in range(6)
    ]


def mixed(own=0.7, normal=0.5):
    """A VAE of N(0, I) beside a model of another prior, whose draws from N(0, I) are worth next to nothing."""
    params = {"metric_params": {"sampler": "normal", "count": 2000}}
    vae = [replace(r, **params) for r in steady("vae", validity__normal=normal)]
    vamp = [replace(r, **params) for r in steady("vamp", validity__normal=0.05)]
    values = rows("vamp", "validity.prior", [own + k / 100 for k in range(6)])
    values = [replace(r, metric_params={"sampler": "prior", "count": 2000}, detail={"prior": OWN}) for r in values]
    return [HEAD, *ANCHORS, *vae, *none_of_its_own("vae"), *vamp, *values]


def test_each_stands_under_its_own_prior():
    (table,) = tables(mixed())
    assert table.own_priors == {"vamp"}
    assert table.validity == "validity.prior"
    assert table.get("vae", "validity.prior").mean == table.get("vae", "validity.normal").mean
    assert table.get("vamp", "validity.prior").mean > 0.7
    assert table.reference("validity.prior", "ceiling:real") == 0.9
    assert table.floor("validity.prior") == 0.02
    assert not table.invalid  # by N(0, I) next to nothing of vamp is valid, by its own prior most is
    assert table.leaders("validity.prior") == ("vamp",)
    assert table.leaders("validity.normal") == ("vae",)


def test_it_is_said_which_prior_is_meant():
    said = " ".join(s for v in statements(mixed()) if v.question == "complete" for s in (v.headline, *v.sentences))
    assert "Of draws from the prior each was trained with the judge accepts" in said
    assert "Here vamp has a prior of its own" in said
    assert "the prior it was trained with" in said


def test_where_no_model_has_a_prior_of_its_own_nothing_is_said_of_one():
    """The very cells, and so the very page, of a run that never asked."""
    asked = [r for r in mixed() if r.model != "vamp"]
    never = [r for r in asked if r.metric != "validity.prior"]
    assert summarise(asked) == summarise(never)
    said = [s for v in statements(asked) for s in (v.headline, *v.sentences)]
    assert said == [s for v in statements(never) for s in (v.headline, *v.sentences)]
    assert not any("own" in s for s in said if "complete" in s.lower())


def test_a_prior_that_failed_is_not_read_as_the_normal_one():
    """What N(0, I) gives is not what the model was trained for: it cannot stand in."""
    gone = Reason.of("", "the model's prior() gave shape (1,)")
    failed = [
        replace(r, value=None, status="failed", reason=gone, detail={}) if (r.model, r.metric) == ("vamp", "validity.prior") else r
        for r in mixed()
    ]  # fmt: skip
    (table,) = tables(failed)
    assert table.own_priors == {"vamp"}
    assert table.get("vamp", "validity.prior") is None
    assert {a.model: a.answer for a in answers(failed) if a.question == "complete"}["vamp"] == "not told"
    assert table.get("vae", "validity.prior") is None or table.get("vae", "validity.prior").mean < 0.6


def test_validity_of_the_own_prior_needs_what_it_reads():
    assert metrics()["validity.prior"].needs >= {DECODER, JUDGE}
    assert "no prior of its own" in example_encoding().absent(metrics()["validity.prior"].needs)
    assert not own_prior_encoding().absent(metrics()["validity.prior"].needs)


# --- on the page ---


def test_the_explorer_keeps_draws_of_the_own_prior():
    from latentbench.measuring.artifacts import map_index
    from latentbench.measuring.explorer import explorer

    e = with_prior(two_hills())
    arrays, _ = explorer(e, map_index(len(e.mu)))
    assert arrays["prior_mean"].shape == (500, 3)
    assert float(arrays["prior_root"].abs().max()) == 0
    torch.testing.assert_close(arrays["prior_mean"].double(), prior_codes(e, "prior", 2000)[:500], rtol=1e-5, atol=1e-6)
    assert not {name for name in explorer(with_prior(None), map_index(60))[0] if name.startswith("prior_")}


def test_pictures_say_whose_prior_they_show(tmp_path):
    from latentbench.measuring.artifacts import exhibit

    e = with_prior(two_hills())
    made = {r.metric: r for r in exhibit(e, tmp_path, "artifacts", row("vamp", 0), "seed-0")}
    assert {made[role].detail.get("prior") for role in ("samples", "atlas", "points", "posterior", "explorer")} == {OWN}
    held = np.load(tmp_path / "samples-seed-0.npz")
    assert {"prior_images", "normal_images", "prior_depth", "normal_depth"} <= set(held)
    assert "kl" not in np.load(tmp_path / "posterior-seed-0.npz")
    plain = exhibit(with_prior(None), tmp_path, "artifacts", row("vae", 0), "seed-1")
    assert not [r for r in plain if "prior" in r.detail]
