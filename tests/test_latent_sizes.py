"""Models of different latent sizes in one run: each measured at its own, none compared across."""

import pytest
import torch

import latentbench as lb
from latentbench import catalog
from latentbench.config import make_run
from latentbench.report import columns
from latentbench.report.folder import load
from latentbench.report.sections import scores
from latentbench.running import plan
from latentbench.stats import findings

SMALL = {"models": "ae,vae,ae:latent_dim=2,vae:latent_dim=1", "latent_dim": 4, "seeds": 2, "epochs": 2, "quiet": True}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "sizes"
    return lb.run(**SMALL, metrics="mse,r2,kl,active_units,hole,trustworthiness", out=str(out))


def test_every_record_names_the_size_of_its_model(run):
    sizes = {"ae": 4, "vae": 4, "ae:latent_dim=2": 2, "vae:latent_dim=1": 1}
    seen = {(r.model, r.latent_dim) for r in run.records if r.model in sizes}
    assert seen == set(sizes.items())
    pca = {
        r.latent_dim: r.value for r in run.records if (r.model, r.metric, r.split) == ("baseline:pca", "mse", "test")
    }
    assert set(pca) == {4, 2, 1}
    assert pca[4] < pca[2] < pca[1]
    assert sum(r.kind == "artifact" and r.metric == "data" for r in run.records) == 1


def test_claims_and_scores_hold_at_one_size(run):
    tables = findings.tables(run.records)
    assert [(t.latent_dim, t.models) for t in tables] == [
        (4, ["ae", "vae"]),
        (2, ["ae:latent_dim=2"]),
        (1, ["vae:latent_dim=1"]),
    ]
    assert len({t.reference("mse", "baseline:pca") for t in tables}) == 3
    every = scores.tables(columns.columns(load([run.folder])))
    assert [(t.size, [c.model for c in t.columns]) for t in every] == [(t.latent_dim, t.models) for t in tables]
    page = run.report.read_text("utf-8")
    assert "d&nbsp;=&nbsp;2" in page
    assert "Not drawn" not in page


def test_a_trained_model_comes_back_at_its_size(run):
    model = lb.load(run.folder, model="ae:latent_dim=2", seed=1)
    assert model.encode(torch.zeros(3, 1, 8, 8)).mu.shape == (3, 2)


@pytest.mark.parametrize("word", ["0", "x", "-1", "2.5", "5000"])
def test_a_latent_size_that_is_none_is_refused(word):
    with pytest.raises(ValueError, match=r"latent_dim in .*is not allowed \(allowed: 1 to 4096\)"):
        plan.plan(make_run({"models": f"ae:latent_dim={word}"}))


def test_a_misspelt_size_is_named():
    with pytest.raises(ValueError, match="did you mean 'latent_dim'"):
        catalog.resolve_model("vae:latent_dims=2", make_run({}))


def test_warm_up_raises_beta_in_a_straight_line_and_leaves_validation_alone():
    run = make_run({"latent_dim": 2})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = catalog.build_model("vae:warmup=4:beta=2:sigma=1", run, (1, 4, 4))
    x, g = torch.rand(8, 1, 4, 4), torch.Generator()

    def weight():
        with torch.no_grad():
            loss = model.loss(x, g.manual_seed(0))
        kl = loss.terms["kl.mean_part"] + loss.terms["kl.variance_part"]
        return float((loss.total - loss.terms["nll"]) / kl)

    assert [weight() for _ in range(6)] == pytest.approx([0, 0.5, 1, 1.5, 2, 2], abs=1e-4)
    model.eval()
    assert weight() == pytest.approx(2, abs=1e-4)
    with pytest.raises(ValueError, match="warmup: -1 is not allowed"):
        catalog.build_model("vae:warmup=-1", run, (1, 4, 4))
