"""The 20 features `ohlcv` and their ranks per date in polars: what a dataset is measured beside. Needs polars, not PyTorch."""
from __future__ import annotations

import time

import polars as pl


def features() -> dict[str, pl.Expr]:
    """Over a stock's own rows, sorted by date; a missing date inside a look-back goes unseen, which ours makes missing."""
    by = "ticker"
    o, h, l, c, v = (pl.col(name) for name in ("open", "high", "low", "close", "volume"))
    change = pl.col("change")

    def returns(days: int) -> pl.Expr:
        return c / c.shift(days).over(by) - 1

    def over_mean(x: pl.Expr, days: int) -> pl.Expr:
        return x / x.rolling_mean(days).over(by)

    return {
        **{f"return_{days}": returns(days) for days in (1, 5, 20, 60, 120)},
        **{f"close_over_mean_{days}": over_mean(c, days) for days in (5, 10, 20, 30)},
        "range": (h - l) / c,
        "position": pl.when(h > l).then((c - l) / (h - l)),
        "overnight_return": o / c.shift(1).over(by) - 1,
        "intraday_return": c / o - 1,
        **{f"volatility_{days}": change.rolling_std(days).over(by) for days in (5, 20)},
        **{f"volume_over_mean_{days}": over_mean(v, days).log() for days in (5, 20)},
        "dollar_volume": (v * c).rolling_mean(20).over(by).log(),
        "max_return_20": change.rolling_max(20).over(by),
        "close_over_max_60": c / c.rolling_max(60).over(by),
    }


def measure(file: str) -> dict:
    """Seconds from the sorted frame in memory to the ranks in single precision; processor seconds beside them."""
    columns = ["date", "ticker", "open", "high", "low", "close", "volume"]
    numbers = pl.col("open", "high", "low", "close", "volume").cast(pl.Float64)
    frame = pl.read_parquet(file, columns=columns).with_columns(pl.col("ticker").cast(pl.Categorical), numbers).sort("ticker", "date")
    start, cpu = time.perf_counter(), time.process_time()
    made = features()
    close = pl.col("close")
    ranks = [((pl.col(name).rank("average").over("date") - 0.5) / pl.col(name).count().over("date") - 0.5) * 12**0.5 for name in made]
    table = (
        frame.lazy()
        .with_columns(change=close / close.shift(1).over("ticker") - 1)
        .with_columns(**made)
        .select("date", "ticker", *(rank.fill_null(0).cast(pl.Float32) for rank in ranks))
        .collect()
    )
    return {"seconds": time.perf_counter() - start, "cpuSeconds": time.process_time() - cpu, "rows": table.height, "version": pl.__version__}
