"""scikit-learn's decompositions through `lb.evaluate`, as they are: what a page says is what scikit-learn computes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import NMF, PCA

import latentbench as lb

X = load_breast_cancer().data[:240]
TRAIN, TEST = X[:180], X[180:]


def test_pca_and_nmf_of_a_table_on_one_page(tmp_path):
    models = {"pca": PCA(4).fit(TRAIN), "nmf": NMF(4, max_iter=2000, tol=1e-3, init="nndsvda").fit(TRAIN)}
    result = lb.evaluate(models, x_test=TEST, x_train=TRAIN, scale=None, out=tmp_path / "page", quiet=True)
    assert [(r.model, r.metric, r.reason) for r in result.records if r.status == "failed"] == []
    assert result.report.stat().st_size > 10_000
    for name, model in models.items():
        recon = model.inverse_transform(model.transform(TEST))
        assert result.value("mse", model=name) == pytest.approx(float(np.square(recon - TEST).mean()), rel=1e-5)
