"""A file of JSON objects, read strictly: what a benchmark's own files are, where one bad line spoils the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from turnwise.data.records import open_source
from turnwise.errors import DataError


def read_objects(path: str | Path) -> list[tuple[int, dict[str, Any]]]:
    """The objects of a JSON Lines (or JSON) file, each with its 1-based line (or record number).

    Raises:
        DataError: The file is missing, empty, or holds something that is no JSON object.
    """
    if not Path(path).is_file():
        raise DataError("there is no such file", path=path)
    values = []
    source = open_source(path)
    for raw in source.rows:
        if isinstance(raw, DataError):
            raise DataError(raw.reason, path=path, line=raw.line)
        is_array = source.whole and isinstance(raw.value, list)
        values += list(enumerate(raw.value, start=1)) if is_array else [(raw.line, raw.value)]
    found: list[tuple[int, dict[str, Any]]] = []
    for line, value in values:
        if not isinstance(value, dict):
            raise DataError(f"expected a JSON object, found {type(value).__name__}", path=path, line=line)
        found.append((line, value))
    if not found:
        raise DataError("expected at least one JSON object, found none", path=path)
    return found
