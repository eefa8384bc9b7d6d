"""Writes test/unit/fixtures/portfolio.json: portfolios of skfolio and Riskfolio-Lib on the same numbers.

    python -m venv /tmp/portfolio-venv && /tmp/portfolio-venv/bin/pip install skfolio==1.12.0 Riskfolio-Lib==7.4.0
    /tmp/portfolio-venv/bin/python scripts/make-portfolio-fixtures.py
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import riskfolio as rp
from skfolio import RiskMeasure
from skfolio.optimization import BenchmarkTracker, MeanRisk, ObjectiveFunction, RiskBudgeting

DATES, STOCKS = 200, 20
rng = np.random.default_rng(4)
names = [f"S{i:02d}" for i in range(STOCKS)]
market = rng.standard_normal((DATES, 3)) @ (rng.standard_normal((3, STOCKS)) * 0.006 + np.array([[0.008], [0], [0]]))
returns = pd.DataFrame(market + rng.standard_normal((DATES, STOCKS)) * rng.uniform(0.005, 0.03, STOCKS) + rng.uniform(-0.001, 0.002, STOCKS), columns=names)
covariance, mean = returns.cov().to_numpy(), returns.mean().to_numpy()
previous = rng.dirichlet(np.ones(STOCKS))
benchmark = rng.dirichlet(np.full(STOCKS, 0.3))
budgets = rng.uniform(0.5, 1.5, STOCKS)
budgets /= budgets.sum()
groups = {name: ["tech" if i < 8 else "rest", "all"] for i, name in enumerate(names)}
solver = {"solver": "CLARABEL", "solver_params": {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-10, "tol_feas": 1e-10}}
variance = RiskMeasure.VARIANCE


def of(model, target=None):
    return model.fit(returns, target).weights_.tolist()


def by_name(values):
    return dict(zip(names, map(float, values)))


utility = ObjectiveFunction.MAXIMIZE_UTILITY
tech = names[:8]
cases = [
    ("skfolio", {"objective": "minimumVariance"}, of(MeanRisk(risk_measure=variance, **solver))),
    ("skfolio", {"objective": "minimumVariance", "limits": {"maxWeight": 0.1, "groups": [{"name": "tech", "tickers": tech, "min": 0.5}]}},
     of(MeanRisk(risk_measure=variance, max_weights=0.1, groups=groups, linear_constraints=["tech >= 0.5"], **solver))),
    ("skfolio", {"objective": "minimumVariance", "limits": {"longOnly": False, "minWeight": -0.1}}, of(MeanRisk(risk_measure=variance, min_weights=-0.1, **solver))),
    ("skfolio", {"objective": "meanVariance", "riskAversion": 6, "expected": by_name(mean), "limits": {"maxWeight": 0.3}},
     of(MeanRisk(objective_function=utility, risk_measure=variance, risk_aversion=3, max_weights=0.3, **solver))),
    ("skfolio", {"objective": "meanVariance", "riskAversion": 6, "expected": by_name(mean), "current": by_name(previous), "costBps": 10},
     of(MeanRisk(objective_function=utility, risk_measure=variance, risk_aversion=3, transaction_costs=0.001, previous_weights=previous, **solver))),
    ("skfolio", {"objective": "trackingError", "benchmark": by_name(benchmark), "limits": {"maxWeight": 0.08}},
     of(BenchmarkTracker(risk_measure=RiskMeasure.STANDARD_DEVIATION, max_weights=0.08, **solver), returns @ benchmark)),
    ("skfolio", {"objective": "riskParity", "budgets": by_name(budgets)}, of(RiskBudgeting(risk_measure=variance, risk_budget=budgets, **solver))),
]


def portfolio(**options):
    made = rp.Portfolio(returns=returns, **options)
    made.assets_stats(method_mu="hist", method_cov="hist")
    made.solvers = ["CLARABEL"]
    made.sol_params = {"CLARABEL": solver["solver_params"]}
    return made

def weights(found):
    return found["weights"].reindex(names).tolist()


cases += [
    ("Riskfolio-Lib", {"objective": "minimumVariance", "limits": {"maxWeight": 0.1}}, weights(portfolio(upperlng=0.1).optimization(model="Classic", rm="MV", obj="MinRisk", hist=True))),
    ("Riskfolio-Lib", {"objective": "riskParity", "budgets": by_name(budgets)}, weights(portfolio().rp_optimization(model="Classic", rm="MV", b=budgets.reshape(-1, 1), hist=True))),
]
fixture = {"tickers": names, "covariance": covariance.ravel().tolist(), "cases": [{"by": by, "options": options, "weights": found} for by, options, found in cases]}
out = Path(__file__).parent.parent / "test/unit/fixtures/portfolio.json"
out.write_text(json.dumps(fixture) + "\n")
print(f"{out}: {len(cases)} cases, {out.stat().st_size} bytes")
