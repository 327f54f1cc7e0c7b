"""Every error that turnwise raises on purpose, and who has to act on it.

The tree::

    TurnwiseError                 the user must change something; printed without traceback, exit 2
    ├── ConfigError               a configuration file, a --set override or an option
    ├── DataError                 an input file: says path:line, what was found, what was expected
    ├── TemplateError             a chat template whose assistant spans cannot be found or trusted
    ├── ModelError                a model or tokenizer that cannot be loaded or used
    ├── EndpointError             a chat endpoint that answers nothing: wrong key, unknown model, no such address
    ├── RunError                  a run folder: taken, unreadable, from a newer version, not resumable
    ├── TrainingError             a training run that had to stop (for example too many non-finite losses)
    └── MissingExtraError         an optional dependency; the message holds the pip line (also an ImportError)

Vocabulary: an *error* stops a run; a per-item *failure* is a record with a reason and a count, and never
stops one. Only configuration and I/O raise.
"""

from __future__ import annotations

from pathlib import Path


class TurnwiseError(Exception):
    """Base of every error that a user can act on.

    Args:
        message: What is wrong, in one sentence, with what was found and what was expected.
        hint: What to do about it. Printed on its own line.
    """

    exit_code = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  hint: {self.hint}"


class ConfigError(TurnwiseError):
    """A configuration file, an override or an option that cannot be used as given."""


class DataError(TurnwiseError):
    """An input that cannot be read as what it claims to be.

    Args:
        message: What was found and what was expected.
        path: The file it was found in.
        line: 1-based line (JSONL, text) or 1-based record number (JSON arrays, Parquet) in that file.
        hint: What to do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | Path | None = None,
        line: int | None = None,
        hint: str | None = None,
    ) -> None:
        self.path = None if path is None else Path(path)
        self.line = line
        self.reason = message
        where = "" if path is None else f"{path}:{line}: " if line is not None else f"{path}: "
        super().__init__(where + message, hint=hint)


class TemplateError(TurnwiseError):
    """A chat template whose assistant spans cannot be found, or that rewrites earlier turns."""


class ModelError(TurnwiseError):
    """A model or tokenizer that cannot be loaded, or is not what it should be."""


class EndpointError(TurnwiseError):
    """An endpoint that can answer nothing that is asked: a wrong key, an unknown model, no such address. Never retried.

    Messages hold no keys: what the server said is redacted before it gets here.
    """


class RunError(TurnwiseError):
    """A run folder that is taken, unreadable, written by a newer turnwise, or not resumable."""


class TrainingError(TurnwiseError):
    """A training run that had to stop."""


class MissingExtraError(TurnwiseError, ImportError):
    """An optional dependency is not installed. Also an `ImportError`, for code that guards its imports.

    Args:
        package: The import that failed.
        extra: The turnwise extra that brings it.
        purpose: What it is needed for, for example "training".
    """

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed",
            hint=f"pip install 'turnwise[{extra}]'",
        )
