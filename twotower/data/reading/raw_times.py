"""Times as files write them (numbers, ISO 8601, dates) become seconds since the epoch; wrong units are noticed."""

import re
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from twotower.data.tables import MISSING_TIME
from twotower.types import Array, Bools, Times

TimeUnit = Literal["d", "s", "ms", "us", "ns"]
SECONDS: dict[TimeUnit, float] = {"d": 86_400, "s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Seconds in one step of each unit."""

MISSING_WORDS = ("", "nan", "NaN", "NA", "N/A", "null", "NULL", "None", "NaT", "\\N")
"""Texts that exports write where they have no value; never an id, and missing in a column of numbers or times."""

FAR_FUTURE = 10**11
"""As seconds: the year 5138; real logs in ms, us or ns lie beyond it, real logs in s far before it."""
YEAR = 31_536_000
_ZONE = re.compile(r"\s*(?:UTC|GMT)$")
_DAYS, _SERIAL, _YEARS = (3_650, 30_000), (30_000, 80_000), (1_800, 2_100)
"""Numbers that are days since 1970 (1980 to 2052), a spreadsheet's days since 1900 (1982 to 2119), or years."""


def parse_times(column: pa.ChunkedArray, unit: TimeUnit) -> tuple[Times, Bools]:
    """Seconds since the epoch [n], `MISSING_TIME` where there is none; and where the cell was empty [n]."""
    kind = column.type
    missing = column.is_null().to_numpy().astype(np.bool_)
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(column.type):
        steps = column.cast(pa.int64()).fill_null(0).to_numpy()
        return np.where(missing, MISSING_TIME, _seconds(steps, column.type.unit)), missing
    if kind == pa.uint64() and (pc.max(column).as_py() or 0) >= 2**63:
        column, kind = column.cast(pa.float64(), safe=False), pa.float64()  # whatever int64 cannot hold is no time
    if pa.types.is_integer(kind):
        return np.where(missing, MISSING_TIME, _seconds(column.fill_null(0).cast(pa.int64()).to_numpy(), unit)), missing
    if pa.types.is_floating(kind) or pa.types.is_null(kind):
        numbers = column.cast(pa.float64()).to_numpy()
        return _whole_seconds(numbers, unit), np.isnan(numbers)
    text = column.cast(pa.string()).fill_null("").to_pandas().str.strip()
    empty = text.isin(MISSING_WORDS)
    return _parse_text(text.where(~empty, ""), unit), empty.to_numpy()


def _parse_text(text: "pd.Series[str]", unit: TimeUnit) -> Times:
    if _numeric(text):
        return _whole_seconds(pd.to_numeric(text, errors="coerce").to_numpy(np.float64), unit)
    text = text.str.replace(_ZONE, "Z", regex=True)  # as BigQuery writes it
    moments = pd.to_datetime(text.where(text != ""), format="ISO8601", utc=True, errors="coerce")
    seconds = moments.to_numpy("datetime64[s]").astype(np.int64)
    far = moments.isna().to_numpy() & (text != "").to_numpy()  # no time, or a year that nanoseconds do not reach
    seconds[moments.isna().to_numpy()] = MISSING_TIME
    if far.any():
        seconds[far] = text[far].map({word: _far_moment(word) for word in pd.unique(text[far])}).to_numpy()
    return seconds


def _far_moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return MISSING_TIME
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() // 1)


def _numeric(text: "pd.Series[str]") -> bool:
    """Whether at least half of the texts that are there are numbers."""
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(np.float64)
    return bool(np.isfinite(numbers).sum() * 2 >= (text != "").sum())


def _seconds(steps: Array, unit: str) -> Times:
    """Whole steps to whole seconds, exactly."""
    return steps * 86_400 if unit == "d" else steps // round(1 / SECONDS[unit])  # type: ignore[index]


def _whole_seconds(numbers: Array, unit: TimeUnit) -> Times:
    known = np.isfinite(numbers) & (np.abs(numbers) < 1e18)
    steps = np.where(known, numbers, 0)
    seconds = steps * 86_400 if unit == "d" else np.floor(steps / round(1 / SECONDS[unit]))
    return np.where(known, seconds, MISSING_TIME).astype(np.int64)


def wrong_unit(times: Times, unit: TimeUnit, column: pa.ChunkedArray) -> str:
    """What to change if the numbers are plainly in another unit than `unit`; "" if they are fine.

    Args:
        times: seconds that `parse_times` made of the column. Shape [n].
        unit: the unit it was told.
        column: the column; dates and times, which carry their unit, cannot have a wrong one.
    """
    known = times[times != MISSING_TIME]
    if not len(known) or not _holds_numbers(column):
        return ""
    low, typical, high = (float(v) / SECONDS[unit] for v in (known.min(), np.median(known), known.max()))
    if typical * SECONDS[unit] >= FAR_FUTURE:
        fits = next((u for u, s in SECONDS.items() if typical * s < FAR_FUTURE), "ns")
        return f"read as {unit} this lies after the year 5000, so it looks like {fits}; set time_unit: {fits}"
    if unit not in ("s", "d") and typical * SECONDS[unit] < YEAR <= typical:
        return f"read as {unit} this lies in 1970, so it looks like s; set time_unit: s"
    if unit != "s":
        return ""
    if _look_like_dates(known):
        return "this looks like calendar dates written as numbers; write them as 2024-01-31"
    if _YEARS[0] <= low and high < _YEARS[1]:
        return "this looks like years; write dates such as 2024-01-31, or declare a feature continuous"
    if _DAYS[0] <= low and high < _DAYS[1]:
        return "read as s this lies in the first hours of 1970, so it looks like days; set time_unit: d"
    if _SERIAL[0] <= low and high < _SERIAL[1]:
        return "this looks like the day numbers of a spreadsheet; write dates such as 2024-01-31"
    return ""


def _holds_numbers(column: pa.ChunkedArray) -> bool:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return True
    if pa.types.is_temporal(kind) or pa.types.is_null(kind):
        return False
    text = column.cast(pa.string()).fill_null("").to_pandas().str.strip()
    return _numeric(text.where(~text.isin(MISSING_WORDS), ""))


def _look_like_dates(numbers: Times) -> bool:
    """Whether all numbers read as year, month, day: 20240131."""
    if numbers.min() < 1900_01_01 or numbers.max() > 2100_12_31:
        return False
    month, day = numbers // 100 % 100, numbers % 100
    return bool(((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all())
