"""The forecast before training: the algebra against a search for the optimum, and what is told of it."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import value
from synthetic_run import Synthetic, build
from test_models_linear import EIGENVALUES, pictures, train, view

from latentbench import catalog, report
from latentbench.cli.app import main
from latentbench.config import make_run
from latentbench.core import Dataset, Split
from latentbench.records import Record
from latentbench.run_folder import RunFiles
from latentbench.running.forecast import forecasts, spectrum
from latentbench.stats import linear_vae
from latentbench.stats.linear_vae import Forecast, forecast, hit_rate, learned_variance

HOME = Path(__file__).parents[1]
sys.path.insert(0, str(HOME / "benchmarks"))


def spectra():
    """Twenty spectra: how many values, how steep, which beta, learned or fixed."""
    rng = np.random.default_rng(0)
    for case in range(20):
        values, d = int(rng.integers(4, 14)), int(rng.integers(1, 9))
        eigenvalues = np.sort(rng.lognormal(0, rng.uniform(0.3, 2), values))[::-1]
        beta = float(rng.choice([0.3, 1.0, 1.5, 3.0]))
        variance = None if case % 4 else float(np.quantile(eigenvalues, rng.uniform()) / beta)
        yield pytest.param(eigenvalues, min(d, values - 1), beta, variance, id=f"{case}")


def optimum(eigenvalues, d, beta, variance):
    """The linear VAE's exact loss, expected over data and posterior, brought down from a random start: how many dimensions are
    in use, and its decoder variance. Knows no principal components."""
    n, generator = len(eigenvalues), torch.Generator().manual_seed(1)
    turn = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0]
    covariance = turn @ torch.diag(torch.tensor(eigenvalues.copy())) @ turn.T
    parts = [0.3 * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((n, d), (d, n), (d,), ())]
    decode, encode, log_sigma, log_variance = (p.requires_grad_() for p in parts)

    def loss():
        log_s = log_variance if variance is None else torch.tensor(math.log(variance), dtype=torch.float64)
        left = torch.eye(n, dtype=torch.float64) - decode @ encode
        sigma2 = (2 * log_sigma).exp()
        error = (left @ covariance @ left.T).trace() + (decode.square().sum(0) * sigma2).sum()
        means = (encode @ covariance @ encode.T).diagonal()
        kl = 0.5 * (sigma2 + means - 1 - 2 * log_sigma).sum()
        return 0.5 * (n * log_s + error / log_s.exp()) + beta * kl

    search = torch.optim.LBFGS(
        [decode, encode, log_sigma, *([log_variance] if variance is None else [])],
        max_iter=1500, tolerance_grad=1e-9, tolerance_change=1e-13, history_size=30, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def step():
        search.zero_grad()
        value = loss()
        value.backward()
        return value

    search.step(step)
    means = (encode @ covariance @ encode.T).diagonal().detach()
    used = means / (means + (2 * log_sigma.detach()).exp()) > 0.01
    return int(used.sum()), variance or float(log_variance.detach().exp())


@pytest.mark.parametrize(("eigenvalues", "d", "beta", "variance"), [*spectra()])
def test_the_count_is_that_of_the_optimum_that_a_search_finds(eigenvalues, d, beta, variance):
    told = forecast(beta, variance, list(eigenvalues), float(eigenvalues.sum()), len(eigenvalues), d)
    used, found = optimum(eigenvalues, d, beta, variance)
    assert abs(told.active - used) <= 1
    assert told.variance == pytest.approx(beta * found, rel=0.02)


def test_these_spectra_tell_a_forecast_that_forgets_beta():
    """What would be said with beta = 1 is wrong by more than a dimension in some of them."""
    wrong = 0
    for eigenvalues, d, beta, variance in (case.values for case in spectra()):
        about = (list(eigenvalues), float(eigenvalues.sum()), len(eigenvalues), d)
        told, other = (forecast(b, variance, *about).active for b in (beta, 1.0))
        wrong += abs(told - other) > 1
    assert wrong >= 3


def test_with_beta_one_it_is_the_mean_of_the_lost_eigenvalues():
    values = EIGENVALUES.tolist()
    assert learned_variance(values, sum(values), 12, 4, 1.0) == pytest.approx(0.5, rel=1e-12)
    assert learned_variance(values, sum(values), 12, 2, 1.0) == pytest.approx(0.9, rel=1e-12)
    assert forecast(1.0, None, values, sum(values), 12, 8).active in (4, 5, 6, 7, 8)  # t is lambda itself
    assert learned_variance(values, sum(values), 12, 4, 10.0) == pytest.approx(sum(values) / 12)


@pytest.mark.parametrize("beta", [0.1, 1.0, 2.0, 4.0, 40.0])
def test_it_is_the_least_of_the_loss_over_the_variance(beta):
    values = np.array([9.0, 5.0, 3.0, 2.0, 0.7, 0.6, 0.4, 0.3, 0.2, 0.1])

    def loss(s2):
        kept = [v for v in values[:5] if v > beta * s2]
        lost = [*(v for v in values[:5] if v <= beta * s2), *values[5:]]
        return 10 * math.log(s2) + sum(beta * (1 + math.log(v / (beta * s2))) for v in kept) + sum(lost) / s2

    grid = np.geomspace(1e-3, 50, 20001)
    best = grid[np.argmin([loss(s2) for s2 in grid])]
    assert learned_variance(list(values), float(values.sum()), 10, 5, beta) == pytest.approx(best, rel=2e-3)


def test_data_that_fit_leave_no_variance_and_all_dimensions():
    """Three directions, four dimensions: nothing is lost, and the fourth has nothing to hold."""
    told = forecast(1.0, None, [3.0, 2.0, 1.0], 6.0, 20, 4)
    assert told.active == 3
    assert told.variance < 1e-10


def test_numbers_that_cannot_be_are_refused():
    for values, beta, total in ((0, 1.0, 1.0), (3, -1.0, 1.0), (3, 1.0, math.nan)):
        with pytest.raises(ValueError, match="no variance"):
            learned_variance([1.0], total, values, 1, beta)


def data(x):
    return Dataset("linear", *(Split(x, None) for _ in range(3)))


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_a_linear_vae_trained_here_comes_to_it(beta):
    x = pictures()
    run = make_run({"models": f"vae:beta={beta}", "latent_dim": 8, "depth": 0})
    told = forecasts([catalog.resolve_model(run.models[0], run)], data(x))[run.models[0]]
    assert told.linear
    model = train(run.models[0], x, 150, lr=2e-2, latent_dim=8)
    e = view(model, x)
    # With beta = 1 the eigenvalues from the fifth on are t itself, and any of them may count.
    assert abs(told.active - value("active_units", e)) <= 1 if beta > 1 else value("active_units", e) >= 4
    assert told.variance == pytest.approx(model.decoder_variance, rel=0.1)


def test_only_losses_with_a_variance_and_a_whole_kl_are_forecast():
    run = make_run({"models": "ae", "latent_dim": 4})
    texts = [
        "ae",
        "vae",
        "vae:beta=0",
        "vae:kl=mean",
        "vae:likelihood=bernoulli",
        "vae:sigma=0.5:beta=2",
        "vae:depth=0",
    ]
    x = pictures(200).sigmoid()
    found = forecasts([catalog.resolve_model(text, run) for text in texts], data(x))
    assert list(found) == ["vae", "vae:sigma=0.5:beta=2", "vae:depth=0"]
    assert found["vae:sigma=0.5:beta=2"].variance == pytest.approx(0.5)
    assert [f.linear for f in found.values()] == [False, False, True]


def test_the_spectrum_of_more_samples_than_fit_is_that_of_some(monkeypatch):
    x = pictures(2000)
    monkeypatch.setattr("latentbench.running.forecast.VALUES", 6000)
    few, total = spectrum(x, 3)
    assert few == pytest.approx(EIGENVALUES[:3].tolist(), rel=0.2)
    assert total == pytest.approx(float(EIGENVALUES.sum()), rel=0.1)


def test_a_dry_run_tells_it(capsys):
    words = ["run", "--dry-run", "--models", "ae,vae,vae:depth=0:beta=3", "--seeds", "2", "--latent-dim", "16"]
    assert main(words) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("forecast", "note"))]
    assert lines[0].startswith("forecast\tvae\t16 of 16 latent dimensions stay in use, if it were linear")
    assert lines[1].startswith(
        "forecast\tvae:depth=0:beta=3\t11 of 16 latent dimensions stay in use, for a linear model"
    )
    rate = hit_rate()
    assert f"within 1 dimension in {rate.rate:.0%}" in lines[2]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["forecast"]
    assert {m: f["active"] for m, f in told.items()} == {"vae": 16, "vae:depth=0:beta=3": 11}


def test_linear_models_alone_need_no_hit_rate(capsys):
    assert main(["run", "--dry-run", "--models", "vae:depth=0", "--seeds", "1"]) == 0
    assert "hidden layers" not in capsys.readouterr().out


def page(folder, forecasts):
    made = build(folder, Synthetic(seeds=2))
    files = RunFiles(made)
    rows = [
        replace(r, detail={**r.detail, "forecasts": forecasts}) if r.kind == "run" else r
        for r in files.read_records("test")
    ]
    files.write_records(rows)
    return report.render([made]).read_text("utf-8")


def test_the_page_says_what_was_forecast_and_what_that_is_worth(tmp_path):
    text = page(tmp_path / "run", {"vae": Forecast(5, 8, 0.02)._asdict()})
    assert "as if it were linear: 5 of 8." in text
    assert f"of {hit_rate().cells} settings tried" in text
    assert "as if it were linear" not in page(tmp_path / "without", {})


def test_the_page_of_a_linear_model_says_it_is_the_closed_form(tmp_path):
    text = page(tmp_path / "run", {"vae": Forecast(5, 8, 0.02, linear=True)._asdict()})
    assert "Forecast before training (closed form): 5 of 8." in text
    assert "settings tried" not in text


def test_the_rate_that_is_told_is_that_of_the_trainings_on_record():
    import forecast as script

    rows = json.loads((HOME / "docs" / "forecast.json").read_text("utf-8"))["rows"]
    assert json.loads(linear_vae.RATES.read_text("utf-8")) == script.rates(script.cells(rows))


def test_a_rate_is_counted_over_settings_and_not_over_seeds():
    import forecast as script

    def row(beta, seed, told, used):
        return {"data": "digits", "beta": beta, "way": "learned", "seed": seed, "forecast": told, "active": used}

    rows = [row(1, s, 8, 8) for s in range(9)] + [row(3, 0, 8, 4)]
    found = script.rates(script.cells(rows))
    assert (found["rate"], found["cells"], found["error"]) == (0.5, 2, 2.0)
    assert found["low"] < 0.12
    assert found["high"] > 0.88


def test_a_records_file_without_forecasts_reads_as_before():
    from latentbench.run_info import RunInfo

    assert "forecasts" not in RunInfo().to_detail()
    assert RunInfo.from_record(Record(kind="run")).forecasts == {}
