"""Makes the fixtures of the feature sets `loadings` and `style`: a small simulated panel with holes, and what NumPy makes of it.

    python scripts/make-exposure-fixtures.py --out test/native/fixtures

Needs numpy. Writes exposures.f64: little-endian float64 numbers, in this order: dates D, stocks N, style dates S, refreshes R, window, half-life and
count of the loadings; open, high, low, close, volume, universe [D, N] each, months [D]; the style dates [S], the refreshes [R];
style [S, 21, N] raw, then as z-scores; loadings [R, count, N]. NaN is missing.
"""
import argparse
import pathlib
import sys

import numpy as np

sys.dont_write_bytecode = True  # no caches in the repository
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from fixtures.loadings import loadings  # noqa: E402
from fixtures.style import raw_style, style  # noqa: E402

D, N, COUNT, WINDOW, HALF_LIFE = 300, 17, 3, 60, 20.0


def simulated(random: np.random.Generator) -> dict[str, np.ndarray]:
    """Three factors of clearly unequal strength, so that rounding decides no direction."""
    factors = random.normal(size=(D, 3)) * [0.012, 0.007, 0.004]
    exposures = np.stack([random.uniform(0.6, 1.4, N), random.choice([-1.0, 1.0], N), random.choice([-1.0, 1.0], N)])
    returns = factors @ exposures + random.normal(size=(D, N)) * 0.004
    returns[120, 4] = 0.9  # clipped
    close = 40 * np.exp(np.cumsum(np.log1p(returns), 0))
    open_ = close * np.exp(random.normal(size=(D, N)) * 0.004)
    high = np.maximum(open_, close) * np.exp(np.abs(random.normal(size=(D, N))) * 0.005)
    low = np.minimum(open_, close) * np.exp(-np.abs(random.normal(size=(D, N))) * 0.005)
    volume = np.exp(random.normal(12, 0.5, (D, N)) + random.normal(size=N))
    prices = {"open": open_, "high": high, "low": low, "close": close, "volume": volume}
    for name in prices:
        prices[name] = prices[name].astype(np.float32).astype(np.float64)
        prices[name][random.uniform(size=(D, N)) < 0.01] = np.nan
        prices[name][:70, 5] = np.nan  # listed late
        prices[name][288:, 6] = np.nan  # gone
        prices[name][230:290, 7] = np.nan  # suspended
        prices[name][100:, 8] = prices[name][100, 8] if name != "volume" else np.nan  # constant
        prices[name][200:, 9] = np.nan
    return prices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    out = parser.parse_args().out
    random = np.random.default_rng(20)
    prices = simulated(random)
    present = ~np.isnan(prices["close"])
    universe = present.copy()
    universe[:, 10] = False  # known, but not in the universe
    universe[:270, 11] = False
    day = np.arange(np.datetime64("2015-01-01"), np.datetime64("2016-12-31"))
    day = day[np.is_busday(day)][:D]
    months = day.astype("datetime64[M]").astype(np.int64) + 1970 * 12
    dates = [0, 21, 210, 251, 252, 275, 299]
    refreshes = list(range(WINDOW, D, 15))
    window = loadings(prices["close"], universe, refreshes, WINDOW, HALF_LIFE, COUNT)
    with np.errstate(all="ignore"):
        raw, scores = (make(prices, universe, present, months, dates) for make in (raw_style, style))
    parts = [[D, N, len(dates), len(refreshes), WINDOW, HALF_LIFE, COUNT], *prices.values(), universe, months, dates, refreshes, raw, scores, window.transpose(0, 2, 1)]
    out.mkdir(parents=True, exist_ok=True)
    np.concatenate([np.asarray(part, "<f8").reshape(-1) for part in parts]).tofile(out / "exposures.f64")


if __name__ == "__main__":
    main()
