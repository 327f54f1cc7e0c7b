"""Replies that were paid for, in one SQLite file, so that no run pays twice.

A reply is committed before it is handed on: a process that is killed at any point finds every reply it ever used. Rows
are JSON, so `sqlite3 FILE 'select model, reply from replies'` reads them. Requests are not stored, only their digests.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from turnwise.errors import RunError
from turnwise.llm.chat import ChatModel, ChatReply, ChatRequest
from turnwise.llm.usage import Usage

SCHEMA_VERSION = 1
_APPLICATION = 0x74777263  # marks the file as ours (`twrc`), where SQLite keeps such marks
_BUSY_S = 60.0
_KEPT = ("text", "failure", "detail", "finish_reason", "model", "prompt_tokens", "completion_tokens", "thinking")
_TABLE = """
CREATE TABLE replies (
    key TEXT PRIMARY KEY,  -- ChatRequest.key: SHA-256 of messages, model, sampling, schema, sample
    model TEXT NOT NULL,   -- ChatModel.name
    reply TEXT NOT NULL,   -- JSON
    created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
) WITHOUT ROWID
"""


def is_kept(reply: ChatReply) -> bool:
    """Whether a reply is worth keeping: an answer, or one that its own token limit cut short.

    The same request would be cut short again; every other failure may end otherwise tomorrow.
    """
    return reply.failure in (None, "truncated")


class ReplyCache:
    """Replies by key. Several threads and processes may use one file at once.

    Args:
        path: The file; made where missing, with its folder.

    Raises:
        RunError: The file is none of ours, damaged, written by a newer turnwise, or cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._guard = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0
        with self._open():
            pass

    def get(self, key: str) -> ChatReply | None:
        """The reply that is kept under a key, marked as cached, or None.

        Raises:
            RunError: The file cannot be read.
        """
        with self._open() as connection:
            row = connection.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            return ChatReply(**{"text": "", **json.loads(row[0])}, cost=0.0, cached=True, attempts=0)

    def put(self, key: str, model: str, reply: ChatReply) -> None:
        """Keep a reply, in a transaction of its own. Another reply under the same key stays: the first one counts.

        Raises:
            RunError: The file cannot be written.
        """
        text = json.dumps({name: getattr(reply, name) for name in _KEPT if getattr(reply, name) not in (None, "")})
        with self._open() as connection:
            connection.execute("INSERT OR IGNORE INTO replies (key, model, reply) VALUES (?, ?, ?)", (key, model, text))

    def __len__(self) -> int:
        with self._open() as connection:
            return int(connection.execute("SELECT count(*) FROM replies").fetchone()[0])

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._guard:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The connection of this process, to one thread at a time; what SQLite complains of becomes a user's error."""
        with self._guard:
            try:
                if self._connection is None or self._process != os.getpid():  # none may be used across a fork
                    self._connection, self._process = self._connect(), os.getpid()
                yield self._connection
            except (sqlite3.Error, OSError, ValueError, TypeError) as error:
                raise _explained(self.path, error) from None

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the table in an empty file; refuse a file that is not ours or too new."""

    def pragma(name: str) -> Any:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    # WAL: readers and one writer at once, and a commit is one append. With `normal`, a commit survives the end of the
    # process at any moment; a power cut can take the last commits, but not spoil the file.
    if not path.exists() or not path.stat().st_size:
        with suppress(sqlite3.OperationalError):  # another process is doing just this
            pragma("journal_mode = wal")
    connection.execute("PRAGMA synchronous = normal")
    connection.execute("BEGIN IMMEDIATE" if not pragma("user_version") else "BEGIN")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not tables and not pragma("application_id"):
        connection.execute(_TABLE)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    application, version = pragma("application_id"), pragma("user_version")
    connection.execute("COMMIT")
    if application != _APPLICATION:
        raise RunError(f"{path}: expected a cache of replies, found another SQLite file", hint="choose another --cache")
    if version > SCHEMA_VERSION:
        raise RunError(
            f"{path}: written with cache version {version}; this turnwise reads up to {SCHEMA_VERSION}",
            hint="pip install --upgrade turnwise, or choose another --cache",
        )


def _explained(path: Path, error: Exception) -> RunError:
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return RunError(
            f"{path}: another process has held the cache of replies for {_BUSY_S:g} s ({error})",
            hint="wait for it, or choose another --cache",
        )
    if isinstance(error, OSError | sqlite3.OperationalError):
        return RunError(f"{path}: the cache of replies cannot be used ({error})", hint="is there space and permission?")
    return RunError(
        f"{path}: the cache of replies is damaged, or is none ({error})",
        hint=f"save what can be read (sqlite3 {path} .recover), or move the file away: its replies are asked for again",
    )


class Cached:
    """A chat model that keeps its replies, counts them, and asks once where the same is asked twice at once.

    Args:
        model: Who answers.
        cache: Where replies are kept; None keeps none.
        usage: What counts them.
        share: Without a cache: whether who asks the same while it is in flight waits for that reply.

    Attributes:
        lockstep: The model's own.
    """

    def __init__(self, model: ChatModel, cache: ReplyCache | None, usage: Usage, *, share: bool = True) -> None:
        self._model = model
        self._cache = cache
        self._usage = usage
        self._share = share
        self._asked: dict[str, tuple[asyncio.Task[ChatReply], list[None]]] = {}
        self.lockstep = bool(getattr(model, "lockstep", False))

    @property
    def name(self) -> str:
        """The model's own."""
        return self._model.name

    async def reply(self, request: ChatRequest) -> ChatReply:
        """From the cache, from a request that is in flight already, or from the model."""
        if not self._share and self._cache is None:
            reply = await self._model.reply(request)
            self._usage.count(reply)
            return reply
        key = request.key(self.name)
        kept = self._cache.get(key) if self._cache is not None else None
        if kept is not None:
            self._usage.count(kept)
            return kept
        shared = key in self._asked
        if not shared:
            asking = asyncio.get_running_loop().create_task(self._ask(key, request))
            asking.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, if nobody waits
            self._asked[key] = (asking, [])
        task, waiting = self._asked[key]
        waiting.append(None)
        try:
            # Shielded: who gives up waiting does not take the reply from the others.
            reply = await asyncio.shield(task)
        finally:
            waiting.pop()
            if not waiting:
                task.cancel()  # nothing happens where it is done
                self._asked.pop(key, None)
        if shared:
            reply = replace(reply, cost=0.0, attempts=0, seconds=0.0)
        self._usage.count(reply, shared=shared)
        return reply

    async def _ask(self, key: str, request: ChatRequest) -> ChatReply:
        reply = await self._model.reply(request)
        if self._cache is not None and is_kept(reply):
            self._cache.put(key, self.name, reply)
        return reply

    async def close(self) -> None:
        """Close the model and the file."""
        await self._model.close()
        if self._cache is not None:
            self._cache.close()

    def __repr__(self) -> str:
        return f"Cached({self._model!r})"
