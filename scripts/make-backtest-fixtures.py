"""Equity of backtests by other tools, for test/unit/backtest-oracle.test.ts.

    python -m venv /tmp/oracle && /tmp/oracle/bin/pip install bt==1.4.1 vectorbt==1.2.0
    /tmp/oracle/bin/python scripts/make-backtest-fixtures.py

Three oracles on simulated prices:
- bt and vectorbt without costs: target weights at the closes of the fill dates, held and drifting in between.
- vectorbt with fees: it keeps cash and fees of share counts that this script finds by root search, so that the weights are those of the value after costs.
- a day loop of this file, in NumPy and SciPy alone: fees, square-root impact, borrowing, interest, suspended and delisted stocks, orders that wait.
"""
import json
from pathlib import Path

import bt
import numpy as np
import pandas as pd
import vectorbt as vbt
from scipy.optimize import brentq

OUT = Path(__file__).parent.parent / "test/unit/fixtures/backtest.json"
T, N, CAPITAL, DAYS = 60, 6, 1e6, 5
rng = np.random.default_rng(7)
close = np.round(50 * np.exp(np.cumsum(rng.normal(0, 0.02, (T, N)), axis=0)), 4)
volume = np.round(rng.uniform(2e3, 9e3, (T, N)))
dates = pd.bdate_range("2020-01-01", periods=T)
fills = [3, 4, 11, 25, 26, 40, 52]
long_only = rng.dirichlet(np.ones(N), len(fills)).round(6) * 0.95
long_short = np.round(rng.normal(0, 0.15, (len(fills), N)), 6)


def by_bt(weights):
    prices = pd.DataFrame(close, dates, [f"S{n}" for n in range(N)])
    targets = pd.DataFrame(weights, dates[fills], prices.columns)
    strategy = bt.Strategy("s", [bt.algos.WeighTarget(targets), bt.algos.Rebalance()])
    test = bt.Backtest(strategy, prices, initial_capital=CAPITAL, integer_positions=False, progress_bar=False)
    bt.run(test)
    return test.strategy.values.reindex(dates).to_numpy()


def sizes(rows):
    frame = pd.DataFrame(np.nan, dates, range(N))
    frame.iloc[fills] = rows
    return frame


def by_vectorbt(rows, kind, fees=0.0):
    portfolio = vbt.Portfolio.from_orders(
        pd.DataFrame(close, dates, range(N)), sizes(rows), size_type=kind, direction="both", fees=fees, init_cash=CAPITAL * 10 if kind == "targetamount" else CAPITAL,
        group_by=True, cash_sharing=True, call_seq="auto", freq="1D",
    )
    value = portfolio.value().to_numpy()
    return value - CAPITAL * 9 if kind == "targetamount" else value


def shares_after_fees(weights, fee):
    """Share counts at each fill whose values are weights of what is left after the fees."""
    shares, cash, rows = np.zeros(N), CAPITAL, []
    for k, t in enumerate(fills):
        whole = cash + shares @ close[t]
        left = brentq(lambda v: v + fee * np.abs(weights[k] * v - shares * close[t]).sum() - whole, 0, whole, xtol=1e-9, rtol=1e-15)
        target = weights[k] * left / close[t]
        cash -= (target - shares) @ close[t] + fee * (np.abs(target - shares) @ close[t])
        shares = target
        rows.append(target)
    return np.array(rows)


def average(values):
    there = values[~np.isnan(values)]
    return there.mean() if there.size else np.nan


def deviation(values):
    there = values[~np.isnan(values)]
    return there.std(ddof=1) if there.size > 1 else np.nan


def by_hand(prices, tradable, weights, fee, impact, borrow, interest):
    """Every kind of cost; NaN prices are suspensions, at the end of a column delistings."""
    shares, cash, short, wanted = np.zeros(N), CAPITAL, 0.0, {}
    last = np.full(N, np.nan)
    ends = [np.flatnonzero(~np.isnan(prices[:, n])).max() for n in range(N)]
    equity = []
    returns = np.full((T, N), np.nan)
    held = np.full(N, np.nan)
    for t in range(T):
        fresh = ~np.isnan(prices[t])
        returns[t, fresh] = prices[t, fresh] / held[fresh] - 1
        held[fresh] = prices[t, fresh]
    for t in range(T):
        fresh = ~np.isnan(prices[t])
        last[fresh] = prices[t, fresh]
        if t < fills[0]:
            continue
        if t > fills[0]:
            cash += cash * interest / 252 - short * borrow / 252
        for n in range(N):
            if ends[n] < t and shares[n] != 0:
                cash += shares[n] * last[n]
                shares[n] = 0
                wanted.pop(n, None)
        if t in fills:
            row = weights[fills.index(t)]
            wanted = {n: row[n] for n in range(N) if (row[n] != 0 or shares[n] != 0) and not ends[n] < t}
            sides = row[row > 0].sum(), -row[row < 0].sum()
        can = [n for n in wanted if fresh[n] and tradable[t, n]]
        if can:
            whole = cash + np.nansum(shares * last)
            stay = [n for n in range(N) if n not in can and shares[n] != 0]
            stuck = sum(max(0, shares[n] * last[n]) for n in stay), sum(max(0, -shares[n] * last[n]) for n in stay)
            goal = np.array([wanted[n] for n in can])
            want = goal[goal > 0].sum(), -goal[goal < 0].sum()
            past = slice(max(0, t - DAYS), t)
            # A stock of which too little is known moves no price.
            rate = np.nan_to_num([deviation(returns[past, n]) / np.sqrt(average(prices[past, n] * volume[past, n])) for n in can])
            now = shares[can] * last[can]

            def aim(v):
                scale = [min(1, max(0, (sides[s] * v - stuck[s]) / (want[s] * v))) if want[s] > 0 and stuck[s] > 0 else 1 for s in (0, 1)]
                return goal * v * np.where(goal > 0, scale[0], scale[1])

            def cost(v):
                traded = np.abs(aim(v) - now)
                return fee * traded.sum() + impact * (rate * traded * np.sqrt(traded)).sum()

            left = brentq(lambda v: v + cost(v) - whole, whole / 2, whole, xtol=1e-9, rtol=1e-15)
            cash -= (aim(left) - now).sum() + cost(left)
            shares[can] = aim(left) / last[can]
            for n in can:
                del wanted[n]
        equity.append(cash + np.nansum(shares * last))
        short = -np.minimum(0, shares * np.nan_to_num(last)).sum()
    return equity


gaps = close.copy()
gaps[11:14, 0] = np.nan
gaps[24:30, 3] = np.nan
gaps[45:, 5] = np.nan
tradable = np.ones((T, N), bool)
tradable[25:28, 1] = False
tradable[52, 2] = False

FEE = 0.002
free = {"bt": by_bt(long_only), "vectorbt": by_vectorbt(long_only, "targetpercent"), "vectorbt long and short": by_vectorbt(long_short, "targetpercent")}
fixture = {
    "close": close.tolist(),
    "volume": volume.tolist(),
    "gaps": [[None if np.isnan(p) else p for p in row] for row in gaps],
    "tradable": tradable.astype(int).tolist(),
    "fills": fills,
    "longOnly": long_only.tolist(),
    "longShort": long_short.tolist(),
    "cases": [
        *({"oracle": name, "weights": "longShort" if "short" in name else "longOnly", "options": {}, "equity": value[fills[0]:].tolist()} for name, value in free.items()),
        *(
            {"oracle": f"vectorbt with fees, {name}", "weights": name, "options": {"costBps": FEE * 1e4}, "equity": by_vectorbt(shares_after_fees(weights, FEE), "targetamount", FEE)[fills[0]:].tolist()}
            for name, weights in (("longOnly", long_only), ("longShort", long_short))
        ),
        *(
            {
                "oracle": f"day loop, {name}", "weights": name, "isGapped": True,
                "options": {"costBps": FEE * 1e4, "impact": 0.7, "impactDays": DAYS, "borrowBps": 300, "cashBps": 200},
                "equity": by_hand(gaps, tradable, weights, FEE, 0.7, 0.03, 0.02),
            }
            for name, weights in (("longOnly", long_only), ("longShort", long_short))
        ),
    ],
}
OUT.write_text(json.dumps(fixture))
for case in fixture["cases"]:
    print(f"{case['oracle']}: {case['equity'][0]:.6f} to {case['equity'][-1]:.6f}")
