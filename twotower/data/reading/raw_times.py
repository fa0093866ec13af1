"""Times as files write them (numbers, ISO 8601, dates) become seconds since the epoch; wrong units are noticed."""

from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from twotower.data.tables import MISSING_TIME
from twotower.types import Array, Bools, Times

TimeUnit = Literal["s", "ms", "us", "ns"]
STEPS: dict[TimeUnit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Steps of each unit in one second."""

FAR_FUTURE = 10**11
"""As seconds: the year 5138; real logs in ms, us or ns lie beyond it, real logs in s far before it."""
YEAR = 31_536_000


def parse_times(column: pa.ChunkedArray, unit: TimeUnit) -> tuple[Times, Bools]:
    """Seconds since the epoch [n], `MISSING_TIME` where there is none; and where the cell was empty [n]."""
    kind = column.type
    missing = column.is_null().to_numpy().astype(np.bool_)
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(column.type):
        steps = column.cast(pa.int64()).fill_null(0).to_numpy()
        return np.where(missing, MISSING_TIME, steps // STEPS[column.type.unit]), missing
    if pa.types.is_integer(kind):
        return np.where(missing, MISSING_TIME, column.fill_null(0).cast(pa.int64()).to_numpy() // STEPS[unit]), missing
    if pa.types.is_floating(kind) or pa.types.is_null(kind):
        return _whole_seconds(column.cast(pa.float64()).to_numpy(), unit), missing
    text = column.cast(pa.string()).fill_null("").to_pandas()
    return _parse_text(text, unit), (text == "").to_numpy()


def _parse_text(text: "pd.Series[str]", unit: TimeUnit) -> Times:
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(np.float64)
    if np.isfinite(numbers).sum() * 2 >= (text != "").sum():
        return _whole_seconds(numbers, unit)
    moments = pd.to_datetime(text.where(text != ""), format="ISO8601", utc=True, errors="coerce")
    seconds = moments.to_numpy("datetime64[s]").astype(np.int64)
    return np.where(moments.isna().to_numpy(), MISSING_TIME, seconds)


def _whole_seconds(numbers: Array, unit: TimeUnit) -> Times:
    known = np.isfinite(numbers)
    return np.where(known, np.floor(np.where(known, numbers, 0) / STEPS[unit]), MISSING_TIME).astype(np.int64)


def wrong_unit(times: Times, unit: TimeUnit, column: pa.ChunkedArray) -> str:
    """What to change if the numbers are plainly in another unit than `unit`; "" if they are fine.

    Args:
        times: seconds that `parse_times` made of the column. Shape [n].
        unit: the unit it was told.
        column: the column; times that the file itself types cannot have a wrong unit.
    """
    known = times[times != MISSING_TIME]
    if not len(known) or pa.types.is_temporal(column.type):
        return ""
    typical = float(np.median(known)) * STEPS[unit]
    if typical / STEPS[unit] >= FAR_FUTURE:
        fits = next((u for u, steps in STEPS.items() if typical / steps < FAR_FUTURE), "ns")
        return f"read as {unit} this lies after the year 5000, so it looks like {fits}; set time_unit: {fits}"
    if unit != "s" and typical / STEPS[unit] < YEAR <= typical:
        return f"read as {unit} this lies in 1970, so it looks like s; set time_unit: s"
    if unit == "s" and _look_like_dates(known):
        return "this looks like calendar dates written as numbers; write them as 2024-01-31"
    return ""


def _look_like_dates(numbers: Times) -> bool:
    """Whether all numbers read as year, month, day: 20240131."""
    if numbers.min() < 1900_01_01 or numbers.max() > 2100_12_31:
        return False
    month, day = numbers // 100 % 100, numbers % 100
    return bool(((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all())
