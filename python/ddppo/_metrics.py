"""`metrics.jsonl` as columns."""

import json
import pathlib
from typing import Any

import numpy as np

#: How numbers are written that JSON has not.
NUMBERS = {"NaN": np.nan, "inf": np.inf, "-inf": -np.inf, "Infinity": np.inf, "-Infinity": -np.inf}


def value(written: Any) -> Any:
    """A value as it was measured."""
    if isinstance(written, list):
        return np.array([value(number) for number in written])
    return NUMBERS.get(written, written) if isinstance(written, str) else written


def record(line: str) -> dict[str, Any]:
    """A line: `step`, `kind`, what was measured, and seconds as `time.…`."""
    read = json.loads(line)
    seconds = {f"time.{name}": value(written) for name, written in read.pop("time", {}).items()}
    kind = {"step": read.pop("step"), "kind": read.pop("kind")}
    return {**kind, **{name: value(written) for name, written in read.items()}, **seconds}


def columns(path: pathlib.Path, kind: str | None) -> dict[str, np.ndarray]:
    """The lines of a kind, or all, name by name; NaN where a line has no such number."""
    # Behind the last line's end: nothing, or a line that is being written.
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    records = [read for read in map(record, lines) if kind in (None, read["kind"])]
    names = dict.fromkeys(name for read in records for name in read)
    return {name: _column([read.get(name) for read in records]) for name in names}


def _column(values: list[Any]) -> np.ndarray:
    if all(isinstance(each, int) and not isinstance(each, bool) for each in values):
        return np.array(values, np.int64)
    if all(each is None or isinstance(each, (int, float)) for each in values):
        return np.array([np.nan if each is None else each for each in values], np.float64)
    column = np.empty(len(values), object)
    column[:] = values
    return column
