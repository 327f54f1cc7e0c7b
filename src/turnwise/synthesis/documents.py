"""Documents of every format: text, Markdown, HTML, PDF, records and SQuAD-style files, alone or in folders."""

from __future__ import annotations

import codecs
import gzip
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Literal

from turnwise.data.read import Failure, FileReport, OnError, ReadReport, iterate, make_options
from turnwise.data.records import HUB, list_sources, open_source
from turnwise.dialogue import Document, unique_ids
from turnwise.errors import ConfigError, DataError
from turnwise.synthesis.cut import cut_document
from turnwise.synthesis.html_text import html_text
from turnwise.synthesis.markdown_text import markdown_text
from turnwise.synthesis.pdf_text import pdf_text

Join = Literal["article"]
TextFiles = Literal["file", "lines"]

CUT = 4000
"""Characters of a document, by default, before it is cut."""
LEAST = 20
"""Characters, white space apart, that a document must have to say anything."""
JOINED_OVER = 800
"""Paragraphs of one article are joined until they have more characters than this (R2S, data of the experiments)."""

_MARKDOWN = (".md", ".markdown")
_HTML = (".html", ".htm", ".xhtml")
_TEXT = (".txt", ".text")
_RECORDS = (".json", ".jsonl", ".ndjson", ".parquet")
_MORE = (*_MARKDOWN, *_HTML, ".pdf", ".text")
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w-]+)", re.IGNORECASE)


def read_texts(
    paths: str | Path | Sequence[str | Path],
    *,
    cut: int | None = CUT,
    join: Join | None = None,
    text: TextFiles = "file",
    on_error: OnError = "stop",
    limit: int | None = None,
    report: ReadReport | None = None,
) -> Iterator[Document]:
    """Read documents, and cut the long ones.

    Records and SQuAD-style files are read as by `turnwise.data.read.read_documents`. Markdown, HTML and PDF become
    readable text; offsets of evidence count the characters of `Document.text` as it comes out here. A document of a
    file is named by its path within the folder that was given, else by the file's name. `metadata` has `format` and,
    where there is one, Markdown's `front_matter` or the `pages` of a PDF (where each begins).

    Args:
        paths: Files, folders (recursive, sorted, formats mixed) and hub names.
        cut: Longer documents are cut into parts (see `turnwise.synthesis.cut`); None cuts nothing.
        join: `article` joins neighbouring paragraphs of one title until they have over 800 characters, and puts the
            title before them: the rule of the R2S paper for SQuAD. What is left at an article's end stands alone.
            Documents without a title are left as they are.
        text: A text file is one document (`file`), or each of its lines is one (`lines`).
        on_error: `stop` raises at the first file or record that cannot be read; `skip` counts it and goes on.
        limit: Documents at most, parts counted each.
        report: Filled while the generator runs. Documents that are empty or have fewer than 20 characters are left out
            and stand among its failures with the reason, whatever `on_error` says.

    Yields:
        Documents with ids that no other of this reading has.

    Raises:
        DataError: Something cannot be read (`on_error="stop"`), or no document at all was found.
        ConfigError: An option is not what it should be.
        MissingExtraError: A PDF without pypdf, a hub data set without datasets.
    """
    _check(cut, join, text, on_error, limit)
    report = ReadReport() if report is None else report
    documents: Iterable[Document] = unique_ids(_all(paths, text, on_error, report))
    if join is not None:
        documents = unique_ids(_joined(documents))
    if cut is not None:
        documents = unique_ids(part for document in documents for part in cut_document(document, cut))
    return islice(documents, limit)


def _check(cut: int | None, join: str | None, text: str, on_error: str, limit: int | None) -> None:
    if cut is not None and cut < 200:
        raise ConfigError(f"expected to cut at 200 characters or more, found {cut}")
    if join not in (None, "article"):
        raise ConfigError(f"expected join to be 'article', found {join!r}")
    if text not in ("file", "lines"):
        raise ConfigError(f"expected text to be 'file' or 'lines', found {text!r}")
    if on_error not in ("stop", "skip"):
        raise ConfigError(f"expected on_error to be 'stop' or 'skip', found {on_error!r}")
    if limit is not None and limit < 1:
        raise ConfigError(f"expected a limit of at least 1, found {limit}")


def _all(
    paths: str | Path | Sequence[str | Path], text: TextFiles, on_error: OnError, report: ReadReport
) -> Iterator[Document]:
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    found = False
    if not given:
        raise DataError("expected at least one path, found none")
    for top in given:
        sources, passed_over = list_sources(top, also=_MORE)
        report.passed_over += [str(path) for path in passed_over]
        for source in sources:
            entry = FileReport(str(source))
            report.files.append(entry)
            try:
                for document, line in _of(source, top, text, on_error, entry, report):
                    if reason := _too_little(document.text):
                        entry.skipped += 1
                        report.failures.append(Failure(str(source), line, reason))
                        continue
                    entry.read += 1
                    found = True
                    yield document
            except (DataError, OSError) as error:
                wrong = _placed(error, source)
                if on_error == "stop":
                    raise wrong from error
                entry.skipped += 1
                report.failures.append(Failure(str(source), wrong.line, wrong.reason))
    if not found:
        first = f"; the first because: {report.failures[0].reason}" if report.failures else ""
        raise DataError(f"no documents in {', '.join(map(str, given))}: {report.skipped} left out{first}")


def _of(
    source: str | Path, top: str | Path, text: TextFiles, on_error: OnError, entry: FileReport, report: ReadReport
) -> Iterator[tuple[Document, int | None]]:
    """The documents of one source, each with its line."""
    kind = _kind(source, text)
    if kind == "records":
        yield from _records(source, on_error, entry, report)
        return
    path = Path(source)
    entry.format = kind
    name = path.relative_to(top).as_posix() if Path(top).is_dir() else path.name
    about: dict[str, Any] = {"format": kind}
    title: str | None = None
    if kind == "pdf":
        content, title, pages = pdf_text(path)
        about["pages"] = pages
    elif kind == "html":
        content, title = html_text(_decoded(path, declared=True))
    elif kind == "markdown":
        content, title, front = markdown_text(_decoded(path))
        if front:
            about["front_matter"] = json.loads(json.dumps(front, default=str))
    else:
        content = _decoded(path).strip()
    yield Document(id=name, text=content, title=title, metadata=about), None


def _kind(source: str | Path, text: TextFiles) -> str:
    """`records` is all that `turnwise.data.read` reads; a text file is one of them where its lines are documents."""
    if isinstance(source, str) and source.startswith(HUB):
        return "records"
    path = Path(source)
    suffix = Path(path.stem).suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    if suffix in _MARKDOWN:
        return "markdown"
    if suffix in _HTML:
        return "html"
    if suffix in _RECORDS:
        return "records"
    with path.open("rb") as stream:
        if stream.read(5) == b"%PDF-":
            return "pdf"
    if suffix == ".pdf":
        raise DataError("found no PDF, expected one by its name", path=path)
    try:
        is_text = open_source(path).kind == "text"
    except DataError:
        # A text may begin like JSON; only its name can say that it is none.
        is_text = suffix in _TEXT
    return "text" if is_text and text == "file" else "records"


def _records(
    source: str | Path, on_error: OnError, entry: FileReport, report: ReadReport
) -> Iterator[tuple[Document, int | None]]:
    inner = ReadReport()
    try:
        for located in iterate(
            "documents", source, make_options(None, "chosen", "all"), on_error=on_error, report=inner
        ):
            yield located.item, located.line
    except DataError:
        if on_error == "stop" or not inner.failures:
            raise
    finally:
        entry.format = inner.files[0].format if inner.files else None
        entry.skipped += len(inner.failures)
        report.failures += inner.failures


def _decoded(path: Path, *, declared: bool = False) -> str:
    r"""A file's text with `\n` at the end of lines.

    Raises:
        DataError: It is neither UTF-8 nor (for HTML) what the page itself declares.
    """
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError) as error:
            raise DataError(f"found a broken or truncated gzip file ({error})", path=path) from error
    encoding = "utf-8"
    if declared and (found := _CHARSET.search(data[:4096])):
        encoding = found.group(1).decode("ascii")
    if data.startswith(codecs.BOM_UTF8):
        encoding, data = "utf-8", data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode(encoding)
    except LookupError as error:
        raise DataError(f"found the unknown character set {encoding!r}", path=path) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"found a byte that is not {encoding} (0x{data[error.start]:02x})",
            path=path,
            line=data.count(b"\n", 0, error.start) + 1,
            hint="convert it to UTF-8 first, for example: iconv -f GB18030 -t UTF-8 IN > OUT",
        ) from error
    if "\0" in text[:4096]:
        raise DataError("found binary data; expected text", path=path)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _too_little(text: str) -> str | None:
    """Why a text is no document; None where it is one."""
    ink = len("".join(text.split()))
    if not ink:
        return "the document is empty (no text was found in it)"
    return f"the document has {ink} characters; expected at least {LEAST}" if ink < LEAST else None


def _joined(documents: Iterable[Document]) -> Iterator[Document]:
    for title, article in groupby(documents, key=lambda document: document.title):
        if not title:
            yield from article
            continue
        held: list[Document] = []
        for document in article:
            held.append(document)
            if sum(len(one.text) for one in held) > JOINED_OVER:
                yield _join(title, held)
                held = []
        if held:
            yield _join(title, held)


def _join(title: str, held: Sequence[Document]) -> Document:
    """One document of several; `metadata.paragraphs` has each one's id, place and metadata."""
    text = title.replace("_", " ").strip()
    paragraphs = []
    for document in held:
        text += "\n"
        start = len(text)
        text += document.text
        paragraphs.append({"id": document.id, "start": start, "end": len(text), "metadata": document.metadata})
    more = f"+{len(held) - 1}" if len(held) > 1 else ""
    return Document(id=f"{held[0].id}{more}", text=text, title=title, metadata={"paragraphs": paragraphs})


def _placed(error: DataError | OSError, source: str | Path) -> DataError:
    if isinstance(error, OSError):
        return DataError(f"cannot be read ({error.strerror or error})", path=source)
    if error.path is not None:
        return error
    return DataError(error.reason, path=source, line=error.line, hint=error.hint)
