"""Writes test/unit/fixtures/risk.json: what scikit-learn and riskprism make of the same numbers.

    python -m venv /tmp/risk-venv && /tmp/risk-venv/bin/pip install riskprism==0.9.1 scikit-learn
    /tmp/risk-venv/bin/python scripts/make-risk-fixtures.py
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from riskprism.config import ModelConfig
from riskprism.model.regression import cross_sectional_regression
from riskprism.model.specific import bayes_shrink_specific
from sklearn.covariance import OAS, LedoitWolf
from sklearn.decomposition import PCA

rng = np.random.default_rng(18)


def covariances(dates, stocks):
    x = rng.standard_normal((dates, 3)) @ rng.standard_normal((3, stocks)) * 0.01 + rng.standard_normal((dates, stocks)) * 0.02 + 0.001
    lw, oas, pca = LedoitWolf().fit(x), OAS().fit(x), PCA(3).fit(x)
    return {
        "dates": dates, "stocks": stocks, "returns": x.ravel().tolist(),
        "sample": np.cov(x.T, bias=True).ravel().tolist(),
        "lw": lw.covariance_.ravel().tolist(), "lwShrinkage": lw.shrinkage_,
        "oas": oas.covariance_.ravel().tolist(), "oasShrinkage": oas.shrinkage_,
        "pcaVariances": (pca.explained_variance_ * (dates - 1) / dates).tolist(),
    }


def regression(stocks=90):
    names = [f"S{i:02d}" for i in range(stocks)]
    styles = pd.DataFrame(rng.standard_normal((stocks, 3)), index=names, columns=["a", "b", "c"])
    industries = pd.Series([f"G{i % 5}" for i in range(stocks)], index=names)
    caps = pd.Series(np.exp(rng.standard_normal(stocks) + 3), index=names)
    returns = pd.Series(styles.to_numpy() @ [0.01, -0.005, 0.002] + 0.02 * rng.standard_normal(stocks), index=names)
    found = cross_sectional_regression(returns, styles, industries, caps)
    return {
        "styles": styles.to_numpy().ravel().tolist(), "groups": [i % 5 for i in range(stocks)], "caps": caps.tolist(), "returns": returns.tolist(),
        "factorReturns": found.factor_returns.tolist(), "residuals": found.residuals.tolist(), "r2": found.r2,
    }


def shrinkage():
    sigma = [.2, .3, .5, .25, .4, .1, .15, .3, .35, .6]
    config = ModelConfig(specific_shrink_q=0.1, specific_shrink_buckets=2)
    found = bayes_shrink_specific(pd.Series(sigma), pd.Series(range(10), dtype=float), config)
    return {"sigma": sigma, "shrunk": found.tolist()}


out = {"covariances": [covariances(40, 7), covariances(12, 31)], "regression": regression(), "shrinkage": shrinkage()}
Path(__file__).parents[1].joinpath("test/unit/fixtures/risk.json").write_text(json.dumps(out) + "\n")
