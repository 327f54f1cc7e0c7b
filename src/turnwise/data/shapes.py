"""From what a file holds to its records: arrays, wrapped arrays, mappings of ids, bare lists of messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from turnwise.data.formats import detect
from turnwise.data.formats.messages import has_role
from turnwise.data.formats.sharegpt import has_from
from turnwise.data.records import Container, Raw
from turnwise.errors import DataError


def unwrapped(container: Container) -> Iterator[Raw | DataError]:
    """Records of a container: unwraps a JSON document's array, its `data`, or its mapping of ids to records."""
    for row in container.rows:
        if isinstance(row, DataError):
            yield row
        elif container.whole:
            records = _records_of(row.value)
            if not records:
                raise DataError("the file is empty (no records in its JSON)")
            yield from (Raw(_as_record(value), number) for number, value in enumerate(records, start=1))
        else:
            yield Raw(_as_record(row.value), row.line)


def _records_of(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [value] if _is_message_list(value) else value
    if isinstance(value, dict) and detect(value) is None:
        data = value.get("data")
        if isinstance(data, list) and all(isinstance(record, dict) for record in data):
            return data
        values = list(value.values())
        if values and all(isinstance(record, dict) and detect(record) is not None for record in values):
            return [record if "id" in record else {"id": name, **record} for name, record in value.items()]
    return [value]


def _as_record(value: Any) -> Any:
    """A bare list of messages is a dialogue."""
    if not _is_message_list(value):
        return value
    return {"conversations" if has_from(value[0]) else "messages": value}


def _is_message_list(value: Any) -> bool:
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return False
    return has_role(value[0]) or has_from(value[0])
