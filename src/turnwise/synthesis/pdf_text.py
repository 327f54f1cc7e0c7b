"""The text of a PDF, by pypdf (extra `pdf`)."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path

from turnwise.errors import DataError, MissingExtraError


def pdf_text(path: Path) -> tuple[str, str | None, list[int]]:
    """The text of a PDF's pages.

    Pages are separated by blank lines; lines are those of the page. A PDF holds where characters stand, not what is a
    paragraph, so the text is as good as the program that wrote it. Scans hold no text.

    Args:
        path: The file.

    Returns:
        (text, title, starts): the title is the one in the file's properties, or None; `starts` has the character at
        which each page begins.

    Raises:
        MissingExtraError: pypdf is not installed.
        DataError: The file is encrypted or broken.
    """
    if find_spec("pypdf") is None:
        raise MissingExtraError("pypdf", extra="pdf", purpose=f"reading {path}")
    import pypdf

    # It tells of every oddity of a file; what cannot be read is an error below.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = pypdf.PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise DataError("found an encrypted PDF", path=path, hint="save it without a password first")
        pages = [page.extract_text() for page in reader.pages]
        title = reader.metadata.title if reader.metadata is not None else None
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"found a PDF that cannot be read ({type(error).__name__}: {error})", path=path) from error
    text, starts = "", []
    for page in pages:
        cleaned = "\n".join(line.rstrip() for line in page.splitlines()).strip("\n")
        text += "\n\n" if text and cleaned else ""
        starts.append(len(text))
        text += cleaned
    return text, title.strip() or None if isinstance(title, str) else None, starts
