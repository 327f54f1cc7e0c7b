"""Columns of a table in a file: CSV, JSON Lines, JSON or Parquet."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from turnwise.data.records import open_source
from turnwise.errors import DataError


def read_rows(path: str | Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a table, one at a time, with their line or record number; values of CSV are text.

    Raises:
        DataError: The file cannot be read, or a row lacks one of the columns.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("no such file", path=path)
    container = open_source(path)
    if container.kind == "text":
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            for row in reader:
                yield reader.line_num, _checked(row, columns, path, reader.line_num)
        return
    for raw in container.rows:
        if isinstance(raw, DataError):
            raise raw
        values = raw.value if isinstance(raw.value, list) else [raw.value]
        for number, value in enumerate(values, start=raw.line):
            if not isinstance(value, dict):
                raise DataError(f"expected a row as an object, found {type(value).__name__}", path=path, line=number)
            yield number, _checked(value, columns, path, number)


def as_value(value: Any, column: str, path: Path, line: int) -> float:
    """A cell as a finite number.

    Raises:
        DataError: It is not one.
    """
    try:
        found = math.nan if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise DataError(f"expected a number in column {column!r}, found {value!r}", path=path, line=line)
    return found


def _checked(row: dict[str, Any], columns: Sequence[str], path: Path, line: int) -> dict[str, Any]:
    for column in columns:
        if column not in row:
            names = [str(name) for name in row if name is not None]
            close = difflib.get_close_matches(column, names, n=1)
            raise DataError(
                f"expected a column {column!r}, found {', '.join(names)}",
                path=path,
                line=line,
                hint=f"did you mean {close[0]!r}?" if close else None,
            )
    return row
