"""`squad` and `document`: texts that dialogues can be grounded in. They hold no dialogues themselves."""

from __future__ import annotations

from collections.abc import Iterator

from turnwise.data.formats.common import Format, Options, Record, as_objects, as_text, record_fields, without
from turnwise.dialogue import Document, Message, content_id

_TEXTS = ("text", "desc", "document", "content", "gen_resp")


def text_id(text: str) -> str:
    """The name of a document that has none: derived from its text."""
    return content_id([Message("document", text)])


def matches_squad(record: Record) -> bool:
    """An article of a SQuAD file: `paragraphs`, each with a `context`."""
    paragraphs = record.get("paragraphs")
    return isinstance(paragraphs, list) and all(isinstance(item, dict) and "context" in item for item in paragraphs)


def squad_documents(record: Record, options: Options) -> Iterator[Document]:
    """One document per paragraph; questions and answers go to its metadata as `qas`.

    A paragraph's own `id` names it, else `TITLE#NUMBER`, else its text.
    """
    title = record.get("title") if isinstance(record.get("title"), str) else None
    for number, paragraph in enumerate(as_objects(record.get("paragraphs"), "paragraphs")):
        text = as_text(paragraph.get("context"), f"'context' of paragraphs[{number}]")
        given = paragraph.get("id")
        name = str(given) if given not in (None, "") else f"{title}#{number}" if title else text_id(text)
        yield Document(id=name, text=text, title=title, metadata=without(paragraph, "context", "id"))


def matches_document(record: Record) -> bool:
    """One of the known text keys."""
    return any(isinstance(record.get(key), str) for key in _TEXTS)


def documents(record: Record, options: Options) -> Iterator[Document]:
    """One document per record."""
    key = next((key for key in _TEXTS if isinstance(record.get(key), str)), _TEXTS[0])
    text = as_text(record.get(key), f"'{key}'")
    title = record.get("title")
    used = [key, "title"] if isinstance(title, str) else [key]
    fields = record_fields(record, used)
    metadata = fields.metadata
    for name in ("source", "tier", "tools", "evidence", "system"):
        value = getattr(fields, name)
        if value:
            metadata[name] = value
    yield Document(
        id=fields.id or text_id(text), text=text, title=title if isinstance(title, str) else None, metadata=metadata
    )


SQUAD = Format(
    name="squad",
    expects="an object with 'paragraphs': a list of objects with 'context' and 'qas'",
    matches=matches_squad,
    documents=squad_documents,
)
DOCUMENT = Format(
    name="document",
    expects="an object with a text under " + ", ".join(repr(key) for key in _TEXTS),
    matches=matches_document,
    documents=documents,
)
