"""Makes test/unit/fixtures/evaluation.json: small panels and what alphalens-reloaded, statsmodels, pandas and SciPy say about them.

    python -m venv /tmp/oracles && /tmp/oracles/bin/pip install alphalens-reloaded==0.5.1 statsmodels==0.15.0 "pandas<3"
    /tmp/oracles/bin/python scripts/make-evaluation-fixtures.py

Numbers are stored in full precision. Missing values are null.
"""

import argparse
import json
import math
import warnings

import alphalens
import numpy as np
import pandas as pd
import statsmodels
import statsmodels.api as sm
from alphalens import performance
from scipy import stats

QUANTILES = 5
DATES, STOCKS, EXTRA = 40, 23, 12  # EXTRA closes after the last prediction


def plain(value):
    """JSON: arrays as lists, NaN as null."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, (np.ndarray, pd.Series, pd.DataFrame)):
        return plain(np.asarray(value).tolist())
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return None if math.isnan(value) else float(value)
    return value


def panel(random):
    """Predictions with ties and gaps, closes with gaps and a delisting, groups, exposures."""
    closes = np.round(20 * np.exp(np.cumsum(0.02 * random.standard_normal((DATES + EXTRA, STOCKS)), axis=0)), 4)
    returns = closes[1:] / closes[:-1] - 1
    predictions = np.round(random.standard_normal((DATES, STOCKS)) + 20 * returns[:DATES], 1)
    predictions[random.random((DATES, STOCKS)) < 0.12] = np.nan
    predictions[5] = np.nan  # a date without predictions
    predictions[6, 1:] = np.nan  # one stock
    predictions[7, 2:] = np.nan  # two stocks
    predictions[8] = np.where(np.isnan(predictions[8]), np.nan, 0.3)  # constant
    closes[random.random(closes.shape) < 0.03] = np.nan
    closes[25:, 4] = np.nan  # delisted
    groups = random.integers(-1, 3, STOCKS)
    exposures = np.round(random.standard_normal((DATES, 3, STOCKS)), 2)
    exposures[:, 2] = np.round(exposures[:, 2] + 0.5 * np.nan_to_num(predictions), 2)
    exposures[random.random(exposures.shape) < 0.05] = np.nan
    return predictions, closes, groups, exposures


def forward(closes, begin, end):
    """Return of prediction date t from the close of t + begin to that of t + end."""
    shifted = lambda days: closes[days : days + DATES] if days + DATES <= len(closes) else np.vstack([closes[days:], np.full((days + DATES - len(closes), STOCKS), np.nan)])
    return shifted(end) / shifted(begin) - 1


def dates():
    return pd.bdate_range("2019-12-02", periods=DATES)


def long(values):
    index = pd.MultiIndex.from_product([dates(), [f"S{n:02d}" for n in range(STOCKS)]], names=["date", "asset"])
    return pd.Series(values.ravel(), index=index)


def factor_data(predictions, returns):
    """What alphalens' functions take; quantiles are of all stocks with a prediction, ties in the order of the tickers."""
    data = pd.DataFrame({"1D": long(returns), "factor": long(predictions)})
    data = data[data["factor"].notna()]
    first = data.groupby(level="date")["factor"].rank(method="first")
    enough = first.groupby(level="date").transform("size") > 1
    data = data[enough]
    first = first[enough]
    data["factor_quantile"] = first.groupby(level="date", group_keys=False).apply(lambda ranks: pd.qcut(ranks, QUANTILES, labels=False) + 1)
    return data


def pair_ic(x, y, method):
    """Per date over pairs: the contract's rules for constants and too few stocks."""
    values = []
    for a, b in zip(x, y):
        both = ~np.isnan(a) & ~np.isnan(b)
        a, b = pd.Series(a[both]), pd.Series(b[both])
        if len(a) < 2 or b.nunique() < 2:
            values.append(np.nan)
        elif a.nunique() < 2:
            values.append(0.0)
        else:
            values.append(a.corr(b, method=method))
    return np.array(values)


def quantiles(predictions, returns):
    data = factor_data(predictions, returns)
    by_date, _ = performance.mean_return_by_quantile(data, by_date=True, demeaned=True)
    spread, _ = performance.compute_mean_returns_spread(by_date, QUANTILES, 1)
    table = by_date["1D"].unstack("factor_quantile").reindex(dates())
    mean, _ = performance.mean_return_by_quantile(data, by_date=False, demeaned=True)
    whole = table.dropna()
    turnover = {q: performance.quantile_turnover(data["factor_quantile"], q).mean() for q in range(1, QUANTILES + 1)}
    return {
        "returns": mean["1D"],
        # alphalens halves the spread; ours has gross exposure 2.
        "spread": spread["1D"].mean() * 2,
        "daily": table,
        "monotonicity": whole.apply(lambda row: pd.Series(range(1, QUANTILES + 1)).corr(row.reset_index(drop=True), method="spearman"), axis=1).mean(),
        "stepsUp": (whole.diff(axis=1).iloc[:, 1:] > 0).all(axis=1).mean(),
        "wholeDates": len(whole),
        "turnover": list(turnover.values()),
    }


def autocorrelation(predictions, lag):
    values = np.full(DATES, np.nan)
    for t in range(lag, DATES):
        both = ~np.isnan(predictions[t]) & ~np.isnan(predictions[t - lag])
        a, b = pd.Series(predictions[t][both]), pd.Series(predictions[t - lag][both])
        if len(a) > 1 and a.nunique() > 1 and b.nunique() > 1:
            values[t] = a.rank().corr(b.rank())
    return values


def book(predictions, closes, portfolios, lag):
    """Portfolios side by side, in money and shares: independent of the weights and drifts of the package."""
    filled = pd.DataFrame(closes).ffill().to_numpy()
    weights = []
    for row in predictions:
        f = row - np.nanmean(row) if (~np.isnan(row)).sum() > 0 else np.zeros(STOCKS)
        total = np.nansum(np.abs(f))
        constant = len(np.unique(row[~np.isnan(row)])) < 2
        w = np.zeros(STOCKS) if constant else np.nan_to_num(f / total)
        weights.append(w)
    value = 1.0
    money = [np.zeros(STOCKS) for _ in range(portfolios)]
    out = []
    for t in range(DATES):
        d = t + lag
        target = np.where(np.isnan(closes[d]), 0, weights[t]) / portfolios * value
        slot = t % portfolios
        traded = np.abs(target - money[slot]).sum() / value
        money[slot] = target
        whole = sum(money)
        gross, short = np.abs(whole).sum() / value, -whole[whole < 0].sum() / value
        growth = np.nan_to_num(filled[d + 1] / filled[d], nan=1.0)
        moved = [held * growth for held in money]
        earned = sum(m.sum() for m in moved) - whole.sum()
        if t >= portfolios - 1:
            out.append([earned / value, traded, gross, short, traded / 2 / gross if t >= portfolios and gross > 0 else np.nan])
        value += earned
        money = moved
    return out


def neutral(predictions, returns, exposures, groups):
    ic, rank_ic, filled = np.full(DATES, np.nan), np.full(DATES, np.nan), 0
    for t in range(DATES):
        there = ~np.isnan(predictions[t])
        if there.sum() < 2:
            continue
        x = exposures[t][:, there].T.copy()
        filled += int(np.isnan(x).sum())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x = np.where(np.isnan(x), np.nan_to_num(np.nanmean(x, axis=0)), x)
        dummies = np.ones((there.sum(), 1)) if groups is None else pd.get_dummies(groups[there]).to_numpy(dtype=float)
        design = np.hstack([dummies, x])
        y = predictions[t][there]
        coefficients, _, rank, _ = np.linalg.lstsq(design, y, rcond=1e-12)
        if len(y) <= rank:
            continue
        residual = y - design @ coefficients
        if (residual**2).sum() <= 1e-20 * ((y - y.mean()) ** 2).sum() or np.ptp(y) == 0:
            residual[:] = 0
        label = returns[t][there]
        ic[t] = pair_ic([residual], [label], "pearson")[0]
        rank_ic[t] = pair_ic([residual], [label], "spearman")[0]
    return {"ic": ic, "rankIc": rank_ic, "filled": filled}


def hac(values, lag):
    fitted = lambda correction: sm.OLS(values, np.ones(len(values))).fit(cov_type="HAC", cov_kwds={"maxlags": lag, "use_correction": correction}, use_t=True)
    # statsmodels' factor is n / (n - k), k = 1: ours.
    return {"lag": lag, "t": fitted(True).tvalues[0], "p": fitted(True).pvalues[0], "tUncorrected": fitted(False).tvalues[0]}


def random_bits(seed, stream):
    """sfc32, as lib/metrics/random.ts has it."""
    mask = 0xFFFFFFFF
    state = [seed & mask, stream & mask, 0x9E3779B9, 1]

    def step():
        a, b, c, counter = state
        total = (a + b + counter) & mask
        state[:] = [b ^ (b >> 9), (c + (c << 3)) & mask, ((((c << 21) & mask) | (c >> 11)) + total) & mask, (counter + 1) & mask]
        return total

    for _ in range(16):
        step()
    return step


def bootstrap(values, horizon, draws, seed):
    """The stationary bootstrap of Politis and Romano, drawn with the package's own bits."""
    bits = random_bits(seed, 0)
    count = len(values)

    def below(limit):
        top = 2**32 - 2**32 % limit
        while True:
            value = bits()
            if value < top:
                return value % limit

    threshold = 2**32 / max(horizon, np.cbrt(count))
    means = []
    for _ in range(draws):
        at = below(count)
        picked = [at]
        while len(picked) < count:
            at = below(count) if bits() < threshold else (at + 1) % count
            picked.append(at)
        means.append(values[picked].mean())
    return list(np.quantile(means, [0.025, 0.975]))


def deflated(sharpe, days, skewness, kurtosis, trials, variance):
    gamma = np.euler_gamma
    luck = max(0, math.sqrt(variance) * ((1 - gamma) * stats.norm.ppf(1 - 1 / trials) + gamma * stats.norm.ppf(1 - 1 / (trials * math.e)))) if trials > 1 else 0
    z = (sharpe - luck) * math.sqrt(days - 1) / math.sqrt(1 - skewness * sharpe + (kurtosis - 1) * sharpe**2 / 4)
    return luck, stats.norm.cdf(z)


def deflation(random):
    common = random.standard_normal((60, 1))
    series = 0.02 + 0.05 * (common + 0.8 * random.standard_normal((60, 7)))
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(series.T))
    shares = eigenvalues / eigenvalues.sum()
    effective = math.exp(-(shares * np.log(shares)).sum())
    ratios = series.mean(axis=0) / series.std(axis=0, ddof=1)
    own = series[:, 0]
    lag = min(max(4, math.floor(4 * (60 / 100) ** (2 / 9))), 30)
    naive = own.std(ddof=1) / math.sqrt(60)
    inflation = (own.mean() / hac(own, lag)["t"] / naive) ** 2
    luck, probability = deflated(ratios[0], 60 / inflation, stats.skew(own), stats.kurtosis(own, fisher=False), effective, ratios.var(ddof=1))
    return {"series": series.T, "horizon": 5, "eigenvalues": eigenvalues, "effectiveTrials": effective, "luck": luck, "probability": probability}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--out", default="test/unit/fixtures/evaluation.json")
    random = np.random.default_rng(11)
    predictions, closes, groups, exposures = panel(random)
    returns = forward(closes, 1, 2)
    horizons = [(0, 1), (1, 2), (2, 5), (5, 10), (0, 5), (0, 10)]
    complete = np.round(random.standard_normal((DATES, STOCKS)), 3)
    index = pd.DataFrame({"factor": long(complete)})
    series = {count: 0.01 + 0.1 * np.convolve(random.standard_normal(count + 4), np.ones(5) / 5, "valid") for count in (2, 31, 237)}
    groups_ic = {}
    for g in range(3):
        inside = np.where(groups == g, predictions, np.nan)
        groups_ic[g] = {"ic": pair_ic(inside, returns, "pearson"), "rankIc": pair_ic(inside, returns, "spearman")}
    alphalens_data = factor_data(predictions, returns)
    factor_returns = performance.factor_returns(alphalens_data.fillna({"1D": 0}))["1D"].reindex(dates())
    # alphalens buys rounding errors where all predictions are equal; ours holds nothing.
    factor_returns[[len(np.unique(row[~np.isnan(row)])) == 1 for row in predictions]] = 0
    matrix = random.standard_normal((9, 9))
    matrix = matrix + matrix.T
    degenerate = np.kron(np.eye(3), np.ones((3, 3)))
    fixture = {
        "madeBy": f"alphalens-reloaded {alphalens.__version__}, statsmodels {statsmodels.__version__}, pandas {pd.__version__}, NumPy {np.__version__}",
        "panel": {"dates": [str(date.date()) for date in dates()], "predictions": predictions, "closes": closes, "groups": groups, "exposures": exposures, "returns": returns},
        "ic": {"ic": pair_ic(predictions, returns, "pearson"), "rankIc": pair_ic(predictions, returns, "spearman")},
        "quantiles": quantiles(predictions, returns),
        "autocorrelation": {lag: autocorrelation(predictions, lag) for lag in (1, 5, 20)},
        "complete": {"predictions": complete, "autocorrelation": {lag: performance.factor_rank_autocorrelation(index, lag) for lag in (1, 5)}},
        "factorReturns": factor_returns,
        "decay": [{"from": a, "to": b, "ic": np.nanmean(pair_ic(predictions, forward(closes, 1 + a, 1 + b), "pearson")), "rankIc": np.nanmean(pair_ic(predictions, forward(closes, 1 + a, 1 + b), "spearman"))} for a, b in horizons],
        "books": [{"portfolios": h, "lag": lag, "days": book(predictions, closes, h, lag)} for h, lag in ((1, 1), (3, 0), (5, 1))],
        "exposures": [np.nanmean(pair_ic(predictions, exposures[:, k], "spearman")) for k in range(3)],
        "neutral": {"alone": neutral(predictions, returns, exposures, None), "groups": neutral(predictions, returns, exposures, groups)},
        "groups": groups_ic,
        "hac": [{"values": values, "horizon": h, **hac(values, min(max(h - 1, math.floor(4 * (n / 100) ** (2 / 9))), n // 2))} for n, values in series.items() for h in (1, 5, 20)],
        "bootstrap": [{"values": series[31], "horizon": h, "draws": 200, "seed": seed, "interval": bootstrap(series[31], h, 200, seed)} for h, seed in ((1, 0), (5, 7))],
        "deflation": deflation(random),
        "eigenvalues": [{"matrix": m, "values": np.linalg.eigvalsh(m)} for m in (matrix, degenerate)],
        "normal": [{"z": z, "p": stats.norm.cdf(z)} for z in (-30, -8, -2.9, -1, -0.1, 0, 0.5, 1.96, 2.83, 4, 8)],
        "student": [{"t": t, "degrees": n, "p": 2 * stats.t.sf(abs(t), n)} for t in (0, 0.01, -1, 2.5, 8, 40) for n in (1, 2, 9, 236, 2519)],
    }
    with open(arguments.parse_args().out, "w") as file:
        json.dump(plain(fixture), file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
