"""Reading dialogues, preference pairs and documents from files, folders and hub data sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from turnwise.data.formats import FORMAT_NAMES, FORMATS, detect, labelled_text
from turnwise.data.formats.common import Format, Options, Record, Side, TreePaths, keys_of
from turnwise.data.formats.documents import text_id
from turnwise.data.records import Container, Raw, list_sources, open_source
from turnwise.data.shapes import unwrapped
from turnwise.dialogue import Dialogue, Document, PreferencePair, unique_ids
from turnwise.errors import ConfigError, DataError

OnError = Literal["stop", "skip"]
Holds = Literal["dialogues", "pairs", "documents"]
Item = TypeVar("Item", Dialogue, PreferencePair, Document)

_NOUN = {"dialogues": "dialogues", "pairs": "preference pairs", "documents": "documents"}
_ROLES = ("user", "assistant", "system", "tool")


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that could not be read.

    Attributes:
        path: The file or hub name.
        line: 1-based line or record number; None where the whole source failed.
        reason: What was found and what was expected.
    """

    path: str
    line: int | None
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The failure as JSON-ready keys."""
        return {"path": self.path, "line": self.line, "reason": self.reason}


@dataclass(slots=True)
class FileReport:
    """What one source held.

    Attributes:
        path: The file or hub name.
        format: The format of its first record; None before one was recognised.
        read: Items read.
        skipped: Failures.
    """

    path: str
    format: str | None = None
    read: int = 0
    skipped: int = 0


@dataclass(slots=True)
class ReadReport:
    """Counts of a reading; filled while the generator runs.

    Attributes:
        files: One entry per source, in order.
        failures: What was skipped, and why (only with `on_error="skip"`).
        passed_over: Files of folders that are no data by their suffix.
    """

    files: list[FileReport] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)

    @property
    def read(self) -> int:
        """Items read."""
        return sum(file.read for file in self.files)

    @property
    def skipped(self) -> int:
        """Failures."""
        return len(self.failures)


@dataclass(frozen=True, slots=True)
class Located(Generic[Item]):
    """An item and where it was read: `path:line`."""

    item: Item
    path: str
    line: int


def read_dialogues(
    paths: str | Path | Sequence[str | Path],
    *,
    format: str | None = None,  # noqa: A002 - the name users know from the command line
    roles: Mapping[str, str] | None = None,
    on_error: OnError = "stop",
    limit: int | None = None,
    split: str = "train",
    side: Side = "chosen",
    tree_paths: TreePaths = "all",
    report: ReadReport | None = None,
) -> Iterator[Dialogue]:
    """Read dialogues in any known format; JSON Lines, Parquet and text stream, a JSON array is loaded whole.

    Args:
        paths: Files, folders (recursive, sorted) and hub names `hf://OWNER/NAME` or `hf://OWNER/NAME:CONFIG`.
        format: Force a format (see `turnwise.data.formats.FORMAT_NAMES`); None detects it by content.
        roles: Canonical role to speaker name, for data whose speakers have no known roles; the words `first` and
            `second` name the speakers by order.
        on_error: `stop` raises at the first failure; `skip` records it in the report and goes on.
        limit: Read at most this many dialogues in all.
        split: Split of hub data sets.
        side: Which side of a preference pair becomes the dialogue; the other stays in `metadata`.
        tree_paths: `all` makes a dialogue of every leaf of a message tree, `best` of the best-ranked path only.
        report: Filled with counts, formats and failures while the generator runs.

    Yields:
        Dialogues, each with an id that no other of this reading has.

    Raises:
        DataError: Something cannot be read (`on_error="stop"`), or nothing at all could be.
        ConfigError: An option is not what it should be.
        MissingExtraError: A hub data set without the `datasets` package.
    """
    options = make_options(roles, side, tree_paths)
    found = iterate(
        "dialogues", paths, options, format=format, on_error=on_error, limit=limit, split=split, report=report
    )
    yield from unique_ids(located.item for located in found)


def read_pairs(
    paths: str | Path | Sequence[str | Path],
    *,
    format: str | None = None,  # noqa: A002
    roles: Mapping[str, str] | None = None,
    on_error: OnError = "stop",
    limit: int | None = None,
    split: str = "train",
    report: ReadReport | None = None,
) -> Iterator[PreferencePair]:
    """Read preference pairs: chosen/rejected records, ranked replies, and ranked siblings of message trees.

    Of n ranked replies to one prompt, the best is paired with each of the others. Arguments and errors are those of
    `read_dialogues`.
    """
    options = make_options(roles, "chosen", "all")
    found = iterate("pairs", paths, options, format=format, on_error=on_error, limit=limit, split=split, report=report)
    yield from unique_ids(located.item for located in found)


def read_documents(
    paths: str | Path | Sequence[str | Path],
    *,
    format: str | None = None,  # noqa: A002
    on_error: OnError = "stop",
    limit: int | None = None,
    split: str = "train",
    report: ReadReport | None = None,
) -> Iterator[Document]:
    """Read documents: SQuAD-style paragraphs, records with a text, or plain text with one document per line.

    Arguments and errors are those of `read_dialogues`.
    """
    options = make_options(None, "chosen", "all")
    found = iterate(
        "documents", paths, options, format=format, on_error=on_error, limit=limit, split=split, report=report
    )
    yield from unique_ids(located.item for located in found)


def iterate(
    holds: Holds,
    paths: str | Path | Sequence[str | Path],
    options: Options,
    *,
    format: str | None = None,  # noqa: A002
    on_error: OnError = "stop",
    limit: int | None = None,
    split: str = "train",
    report: ReadReport | None = None,
) -> Iterator[Located[Any]]:
    """What `read_dialogues`, `read_pairs` and `read_documents` share; items come with their place in the input."""
    report = ReadReport() if report is None else report
    forced = _forced(format)
    if on_error not in ("stop", "skip"):
        raise ConfigError(f"expected on_error to be 'stop' or 'skip', found {on_error!r}")
    if limit is not None and limit < 1:
        raise ConfigError(f"expected a limit of at least 1, found {limit}")
    sources, passed_over = list_sources(paths)
    report.passed_over += [str(path) for path in passed_over]
    left, read_before = limit, report.read
    for source in sources:
        entry = FileReport(str(source))
        report.files.append(entry)
        for found in _source_items(holds, source, options, forced, split, left is not None, entry):
            if isinstance(found, DataError):
                if on_error == "stop":
                    raise found
                entry.skipped += 1
                report.failures.append(Failure(str(source), found.line, found.reason))
                continue
            entry.read += 1
            yield found
            if left is not None:
                left -= 1
                if left == 0:
                    return
    if report.read == read_before:
        raise _nothing_read(holds, sources, report)


def _source_items(
    holds: Holds,
    source: str | Path,
    options: Options,
    forced: Format | str | None,
    split: str,
    streaming: bool,
    entry: FileReport,
) -> Iterator[Located[Any] | DataError]:
    """The items of one source; every error comes out as a `DataError` that names the source."""
    try:
        container = open_source(source, split=split, streaming=streaming)
        for line, item in _items(holds, container, options, forced, entry):
            if isinstance(item, DataError):
                yield _placed(item, source, line)
            else:
                yield Located(item, str(source), line)
    except DataError as error:
        yield _placed(error, source, None)
    except OSError as error:
        yield DataError(f"cannot be read ({error.strerror or error})", path=source)


def _items(
    holds: Holds, container: Container, options: Options, forced: Format | str | None, entry: FileReport
) -> Iterator[tuple[int, Any]]:
    if container.kind == "text":
        yield from _text_items(holds, container, options, forced, entry)
        return
    if isinstance(forced, str):
        raise DataError(f"found JSON records; expected {labelled_text.EXPECTS} (format {forced})")
    current = forced
    rows = unwrapped(container)
    for row in rows:
        if isinstance(row, DataError):
            yield row.line or 0, row
            continue
        problem = None
        if not isinstance(row.value, dict):
            problem = DataError(f"expected an object, found {type(row.value).__name__}")
        elif forced is not None and not forced.matches(row.value):
            problem = DataError(f"found {keys_of(row.value)}; expected for the format {forced.name}: {forced.expects}")
        elif current is None or not current.matches(row.value):
            # One file may mix formats; the last one is tried first, since most do not.
            current, problem = _detected(holds, row.value, current)
        if problem is not None or current is None:
            yield row.line, problem
            continue
        entry.format = entry.format or current.name
        if current.gathers:
            yield from _gathered(holds, current, row, rows, options)
            return
        yield from _converted(holds, current, row.value, row.line, options)


def _gathered(
    holds: Holds, current: Format, first: Raw, rows: Iterator[Raw | DataError], options: Options
) -> Iterator[tuple[int, Any]]:
    records = [(first.line, first.value)]
    for row in rows:
        if isinstance(row, DataError):
            yield row.line or 0, row
        elif isinstance(row.value, dict):
            records.append((row.line, row.value))
        else:
            yield row.line, DataError(f"expected an object, found {type(row.value).__name__}")
    yield from _converted(holds, current, {"records": records}, first.line, options)


def _converted(
    holds: Holds, known: Format, record: Record, line: int, options: Options
) -> Iterator[tuple[int, Dialogue | PreferencePair | Document | DataError]]:
    convert: Callable[[Record, Options], Iterable[Any]] | None = getattr(known, holds)
    if convert is None:
        yield line, _holds_no(holds, known)
        return
    try:
        for item in convert(record, options):
            yield (item.line or line if isinstance(item, DataError) else line), item
    except DataError as error:
        yield error.line or line, error


def _detected(holds: Holds, record: Record, previous: Format | None) -> tuple[Format | None, DataError | None]:
    found = detect(record)
    if found is None or getattr(found, holds) is None:
        # A record may be readable in more than one way (a text that is also a document).
        able = (known for known in FORMATS if getattr(known, holds) is not None and known.matches(record))
        found = next(able, found)
    if found is not None:
        return found, None
    names = ", ".join(FORMAT_NAMES)
    return previous, DataError(
        f"found {keys_of(record)}; expected one of the known formats: {names}",
        hint="--format NAME says what a format expects and what this record lacks",
    )


def _text_items(
    holds: Holds, container: Container, options: Options, forced: Format | str | None, entry: FileReport
) -> Iterator[tuple[int, Any]]:
    if isinstance(forced, Format):
        raise DataError(f"found plain text; expected for the format {forced.name}: {forced.expects}")
    if holds == "documents":
        entry.format = "text"
        for row in container.rows:
            if isinstance(row, DataError):
                yield row.line or 0, row
            elif row.value.strip():
                yield row.line, Document(id=text_id(row.value), text=row.value)
        return
    if holds == "pairs":
        raise DataError("found plain text; expected preference pairs")
    lines: list[str] = []
    for row in container.rows:
        if isinstance(row, DataError):
            # One message per file: without all its lines it would be another dialogue.
            raise row
        lines.append(row.value)
    dialogue = labelled_text.dialogue_from_lines(lines, options)
    entry.format = labelled_text.NAME
    yield 1, dialogue


def make_options(
    roles: Mapping[str, str] | None, side: Side, tree_paths: TreePaths, *, keep_speakers: bool = False
) -> Options:
    """Check and bundle the options of `read_dialogues`; for `keep_speakers` see `Options`.

    Raises:
        ConfigError: One of them is not what it should be.
    """
    unknown = [role for role in roles or {} if role not in _ROLES]
    if unknown:
        raise ConfigError(f"expected roles for {', '.join(_ROLES)}, found {unknown[0]!r}")
    if side not in ("chosen", "rejected"):
        raise ConfigError(f"expected side to be 'chosen' or 'rejected', found {side!r}")
    if tree_paths not in ("all", "best"):
        raise ConfigError(f"expected tree_paths to be 'all' or 'best', found {tree_paths!r}")
    return Options(roles=dict(roles or {}), side=side, tree_paths=tree_paths, keep_speakers=keep_speakers)


def _forced(name: str | None) -> Format | str | None:
    if name is None or name == labelled_text.NAME:
        return name
    for known in FORMATS:
        if known.name == name:
            return known
    raise ConfigError(f"found the format {name!r}; expected one of {', '.join(FORMAT_NAMES)}")


def _placed(error: DataError, source: str | Path, line: int | None) -> DataError:
    """The error with its place. A hub name is kept as text: a path would lose a slash of it."""
    if error.path is not None:
        return error
    return DataError(error.reason, path=source, line=error.line or line or None, hint=error.hint)


def _holds_no(holds: Holds, known: Format) -> DataError:
    held = "documents" if known.documents is not None else "dialogues"
    hint = None
    if held == "documents":
        hint = "documents are the input of dialogue synthesis; read them with turnwise.data.read.read_documents"
    elif holds == "pairs":
        hint = "a pair needs 'chosen' and 'rejected', ranked replies, or a ranked message tree"
    return DataError(f"found {held} (format {known.name}); expected {_NOUN[holds]}", hint=hint)


def _nothing_read(holds: Holds, sources: Sequence[str | Path], report: ReadReport) -> DataError:
    shown = ", ".join(str(source) for source in sources[:3]) + (", ..." if len(sources) > 3 else "")
    first = report.failures[0] if report.failures else None
    reason = f"; all {report.skipped} were skipped, the first because: {first.reason}" if first else ""
    return DataError(f"no {_NOUN[holds]} in {shown}{reason}")
