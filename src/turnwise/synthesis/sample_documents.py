"""Six short documents of our own about invented places, three in English and three in Chinese, to try things on."""

from __future__ import annotations

from importlib.resources import as_file, files

from turnwise.dialogue import Document


def sample_documents() -> list[Document]:
    """The packaged documents, by name: `samples/NAME.md`, whose first line is the title and is no part of the text."""
    found = []
    with as_file(files("turnwise.synthesis") / "samples") as folder:
        for path in sorted(folder.glob("*.md")):
            heading, text = path.read_text(encoding="utf-8").split("\n", 1)
            found.append(Document(path.stem, text.strip(), title=heading.removeprefix("# ")))
    return found
