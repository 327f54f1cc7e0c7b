"""Raw records out of files, folders and hub data sets; what a file is, its content says (never its name).

Knows containers (JSON Lines, JSON, Parquet, text, each of the first, second and last also gzipped) and nothing of
dialogues.
"""

from __future__ import annotations

import base64
import datetime
import difflib
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Literal, cast

from turnwise.errors import DataError, MissingExtraError

HUB = "hf://"
PARQUET_MARK = b"turnwise"
"""Key of the Parquet file metadata by which turnwise knows its own files (some columns hold JSON there)."""

_FOLDER_SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet", ".txt", ".gz")
_BOM = b"\xef\xbb\xbf"
_UTF8_HINT = "convert it to UTF-8 first, for example: iconv -f GB18030 -t UTF-8 IN > OUT"

Kind = Literal["records", "text"]


@dataclass(slots=True)
class Raw:
    """One raw value and where it stands: 1-based line (JSON Lines, text) or record number (JSON, Parquet, hub)."""

    value: Any
    line: int


@dataclass(slots=True)
class Container:
    """An opened source.

    Attributes:
        kind: `records` (values), or `text` (lines).
        rows: The values. A `DataError` among them is one that could not be read; the next ones may be fine. An error
            that ends the source is raised.
        whole: The source was one JSON document, whose single value may wrap the records.
    """

    kind: Kind
    rows: Iterator[Raw | DataError]
    whole: bool = False


def list_sources(
    paths: str | Path | Sequence[str | Path], *, also: tuple[str, ...] = ()
) -> tuple[list[str | Path], list[Path]]:
    """Files and hub names to read, in order, and files of folders that were passed over.

    A folder stands for its files, recursively, sorted by path; hidden ones, manifests and files without a data suffix
    (or one of `also`) are passed over (a file that is named itself is always read).

    Raises:
        DataError: A path does not exist, or a folder holds no file to read.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    if not given:
        raise DataError("expected at least one path, found none")
    suffixes = (*_FOLDER_SUFFIXES, *also)
    sources: list[str | Path] = []
    passed_over: list[Path] = []
    for item in given:
        if isinstance(item, str) and item.startswith(HUB):
            sources.append(item)
            continue
        path = Path(item)
        if path.is_dir():
            inside = sorted(entry for entry in path.rglob("*") if entry.is_file())
            wanted = [entry for entry in inside if _is_data(entry.relative_to(path), suffixes)]
            if not wanted:
                raise DataError(f"expected a folder with {', '.join(suffixes)} files, found none", path=path)
            sources += wanted
            passed_over += [entry for entry in inside if entry not in set(wanted)]
        elif path.exists():
            sources.append(path)
        else:
            raise DataError("no such file or folder", path=path, hint=_did_you_mean(path))
    return sources, passed_over


def open_source(source: str | Path, *, split: str = "train", streaming: bool = False) -> Container:
    """Open a file or a hub data set.

    Args:
        source: A file, or `hf://OWNER/NAME` or `hf://OWNER/NAME:CONFIG`.
        split: Split of a hub data set.
        streaming: Read a hub data set without downloading all of it.

    Raises:
        DataError: The source is empty, binary, not UTF-8, no JSON, or of no known kind.
        MissingExtraError: A hub data set without the `datasets` package.
    """
    if isinstance(source, str) and source.startswith(HUB):
        return Container("records", _hub_rows(source, split, streaming))
    path = Path(source)
    with path.open("rb") as stream:
        head = stream.read(4)
    if head[:4] == b"PAR1":
        return Container("records", _parquet_rows(path))
    if head[:2] == b"PK" or head[:3] in (b"BZh", b"\xfd7z") or head[:4] == b"\x28\xb5\x2f\xfd":
        raise DataError(
            "found a packed archive; expected JSON, JSON Lines, Parquet, text or gzip",
            path=path,
            hint="unpack it first",
        )
    kind = _sniff(path)
    if kind == "json":
        return Container("records", iter([Raw(_load_json(path), 1)]), whole=True)
    if kind == "jsonl":
        return Container("records", _json_lines(path))
    return Container("text", _text_lines(path))


def _is_data(relative: Path, suffixes: tuple[str, ...]) -> bool:
    hidden = any(part.startswith(".") for part in relative.parts)
    return not hidden and relative.suffix.lower() in suffixes and not relative.name.endswith("manifest.json")


def _did_you_mean(path: Path) -> str | None:
    folder = path.parent
    if not folder.is_dir():
        return f"the folder {folder} does not exist either"
    close = difflib.get_close_matches(path.name, [entry.name for entry in folder.iterdir()], n=1)
    return f"did you mean {folder / close[0]}?" if close else None


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked where it is gzip; a broken gzip is an error that names the file."""
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    try:
        with cast("IO[bytes]", gzip.open(path) if packed else path.open("rb")) as stream:
            yield stream
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"found a broken or truncated gzip file ({error})", path=path) from error


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their 1-based numbers, without line ends and byte order mark."""
    with _opened(path) as stream:
        for number, line in enumerate(stream, start=1):
            text = line.removeprefix(_BOM) if number == 1 else line
            text = text.rstrip(b"\r\n")
            if text.strip():
                yield number, text


def _sniff(path: Path) -> Literal["json", "jsonl", "text"]:
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        raise DataError("the file is empty", path=path)
    if first[1][:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError("found UTF-16 text; expected UTF-8", path=path, hint=_UTF8_HINT.replace("GB18030", "UTF-16"))
    if b"\0" in first[1][:4096]:
        raise DataError("found binary data; expected JSON, JSON Lines, Parquet, text or gzip", path=path)
    second = next(lines, None)
    first_is_json, second_is_object = _parses(first[1]), second is not None and _parses(second[1]) == "object"
    if first[1].lstrip()[:1] in (b"{", b"["):
        if first_is_json:
            return "json" if second is None else "jsonl"
        # A first line that is no JSON: the start of a document over many lines, or a broken line among good ones.
        is_lines = second_is_object and first[1].strip() != b"[" and not _whole_parses(path)
        return "jsonl" if is_lines else "json"
    return "jsonl" if second_is_object else "text"


def _parses(line: bytes) -> str:
    try:
        value = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return ""
    return "object" if isinstance(value, dict) else "value"


def _whole_parses(path: Path) -> bool:
    try:
        _load_json(path)
    except DataError:
        return False
    return True


def _load_json(path: Path) -> Any:
    with _opened(path) as stream:
        data = stream.read().removeprefix(_BOM)
    try:
        return json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(_not_utf8(error), path=path, line=line, hint=_UTF8_HINT) from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"found broken JSON ({error.msg} at column {error.colno}); expected one JSON document or one per line",
            path=path,
            line=error.lineno,
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"found JSON that cannot be read ({error})", path=path) from error


def _json_lines(path: Path) -> Iterator[Raw | DataError]:
    for number, line in _lines(path):
        try:
            yield Raw(json.loads(line.decode("utf-8")), number)
        except UnicodeDecodeError as error:
            yield DataError(_not_utf8(error), path=path, line=number, hint=_UTF8_HINT)
        except (ValueError, RecursionError) as error:
            reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
            yield DataError(f"found broken JSON ({reason}); expected one JSON object per line", path=path, line=number)


def _text_lines(path: Path) -> Iterator[Raw | DataError]:
    """All lines, blank ones too: a blank line inside a message belongs to it."""
    with _opened(path) as stream:
        for number, line in enumerate(stream, start=1):
            text = line.removeprefix(_BOM) if number == 1 else line
            try:
                yield Raw(text.rstrip(b"\r\n").decode("utf-8"), number)
            except UnicodeDecodeError as error:
                yield DataError(_not_utf8(error), path=path, line=number, hint=_UTF8_HINT)


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"found a byte that is not UTF-8 (0x{error.object[error.start]:02x} at position {error.start})"


def _parquet_rows(path: Path) -> Iterator[Raw | DataError]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            own = PARQUET_MARK in (file.schema_arrow.metadata or {})
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield Raw(_decode_own(row) if own else plain(row), number)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"found a Parquet file that cannot be read ({error})", path=path) from error
    if number == 0:
        raise DataError("the file is empty (Parquet without rows)", path=path)


def _decode_own(row: dict[str, Any]) -> dict[str, Any]:
    """Undo `write._parquet_row`."""
    record = {key: value for key, value in row.items() if value is not None}
    for key in ("tools", "evidence", "metadata"):
        if key in record:
            record[key] = json.loads(record[key])
    messages = []
    for stored in record["messages"]:
        content, message = stored.pop("content_json"), {}
        extra = stored.pop("extra")
        for key, value in stored.items():
            if key == "content":
                message[key] = value if content is None else json.loads(content)
            elif value is not None:
                message[key] = json.loads(value) if key == "tool_calls" else value
        message.update(json.loads(extra) if extra is not None else {})
        messages.append(message)
    record["messages"] = messages
    return record


def _hub_rows(source: str, split: str, streaming: bool) -> Iterator[Raw | DataError]:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("datasets", extra="hub", purpose=f"reading {source}") from error

    name, config = source.removeprefix(HUB), None
    if ":" in name.rsplit("/", 1)[-1]:
        name, config = name.rsplit(":", 1)
    try:
        rows: Iterable[Any] = datasets.load_dataset(name, config, split=split, streaming=streaming)
        for number, row in enumerate(rows, start=1):
            yield Raw(plain(row), number)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataError(f"cannot load the split {split!r} of this data set ({first_line})", path=source) from error


def plain(value: Any) -> Any:
    """A table's value as JSON values: absent (null) keys of objects go, dates become text, bytes become base64."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, Decimal | datetime.timedelta):
        return str(value)
    return value
