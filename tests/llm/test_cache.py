"""Replies in one file: what is kept, who may read it, what happens to it when things go wrong."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import shutil
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnwise.errors import RunError, TurnwiseError
from turnwise.llm.cache import Cached, ReplyCache
from turnwise.llm.chat import ChatReply, ChatRequest, Sampling
from turnwise.llm.scripted import ScriptedModel
from turnwise.llm.usage import Usage

REPLY = ChatReply(
    "a {text} with \x00 and ☃", finish_reason="stop", model="m-1", prompt_tokens=3, completion_tokens=4, cost=0.5
)


def ask(text: str, sample: int = 0) -> ChatRequest:
    return ChatRequest([{"role": "user", "content": text}], sample=sample)


def test_a_reply_comes_back_as_it_was_but_for_what_it_cost(tmp_path):
    cache = ReplyCache(tmp_path / "deep" / "c.sqlite")
    assert cache.get("k") is None
    cache.put("k", "m@u", REPLY)
    cache.close()
    again = ReplyCache(cache.path).get("k")
    assert (again.text, again.finish_reason, again.model) == (REPLY.text, "stop", "m-1")
    assert (again.prompt_tokens, again.completion_tokens) == (3, 4)
    assert (again.cached, again.cost, again.attempts, again.seconds) == (True, 0.0, 0, 0.0)


@settings(max_examples=40, deadline=None)
@given(text=st.text(alphabet=st.characters(codec=None), max_size=30))
def test_every_text_survives(text, tmp_path_factory):
    """Lone surrogates too, which are no UTF-8: JSON escapes them."""
    cache = ReplyCache(tmp_path_factory.mktemp("c") / "c.sqlite")
    cache.put("k", "m", ChatReply(text))
    assert cache.get("k").text == text
    cache.close()


def test_the_first_reply_under_a_key_stays(tmp_path):
    cache = ReplyCache(tmp_path / "c.sqlite")
    cache.put("k", "m", ChatReply("first"))
    cache.put("k", "m", ChatReply("second"))
    assert (cache.get("k").text, len(cache)) == ("first", 1)


def test_any_sqlite_reads_the_file_and_its_rows_are_json(tmp_path):
    cache = ReplyCache(tmp_path / "c.sqlite")
    cache.put("k", "m@u", REPLY)
    with sqlite3.connect(cache.path) as other:  # while ours is open
        [(model, reply, created)] = other.execute("SELECT model, reply, created FROM replies")
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert model == "m@u"
    assert json.loads(reply)["text"] == REPLY.text
    assert created.endswith("Z")


def write_many(path: str, worker: int) -> None:
    cache = ReplyCache(path)
    for number in range(150):
        cache.put(f"{worker}-{number}", "m", ChatReply(f"{worker} {number}"))
        cache.put(f"shared-{number}", "m", ChatReply("the same"))


@pytest.mark.slow
def test_several_processes_share_a_file_that_none_of_them_has_made_yet(tmp_path):
    path = str(tmp_path / "c.sqlite")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=write_many, args=(path, number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(ReplyCache(path)) == 4 * 150 + 150


def test_a_forked_child_uses_a_connection_of_its_own(tmp_path):
    cache = ReplyCache(tmp_path / "c.sqlite")
    cache.put("parent", "m", ChatReply("p"))
    child = os.fork()
    if not child:
        try:
            cache.put("child", "m", ChatReply("c"))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert cache.get("child").text == "c"


def test_a_newer_file_is_refused_with_a_hint(tmp_path):
    path = tmp_path / "c.sqlite"
    ReplyCache(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(RunError, match=r"cache version 2; this turnwise reads up to 1[\s\S]*--upgrade"):
        ReplyCache(path)


def test_another_programs_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x)")
    before = path.read_bytes()
    with pytest.raises(RunError, match="found another SQLite file"):
        ReplyCache(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "c.sqlite"
    path.write_text("these are notes, not a database\n" * 99)
    with pytest.raises(RunError, match="damaged, or is none"):
        ReplyCache(path)
    assert path.read_text().startswith("these are notes")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_torn_file_is_a_users_error_never_a_wrong_reply(tmp_path, kept):
    """Of 400 replies in a file that is cut, each is whole, absent, or the reason of an error that says what to do."""
    cache = ReplyCache(tmp_path / "c.sqlite")
    for number in range(400):
        cache.put(f"{number}", "m", ChatReply(f"{number} " * 50))
    cache.close()
    size = cache.path.stat().st_size
    with cache.path.open("r+b") as stream:
        stream.truncate(int(size * kept))
    complaints = wordless = 0
    for number in range(400):
        try:
            reply = ReplyCache(cache.path).get(f"{number}")
        except TurnwiseError as error:
            complaints += "recover" in str(error)
            wordless += "recover" not in str(error)
        else:
            assert reply is None or reply.text == f"{number} " * 50
    assert complaints > 0
    assert wordless == 0


def test_bytes_overwritten_in_the_middle_are_a_users_error(tmp_path):
    cache = ReplyCache(tmp_path / "c.sqlite")
    for number in range(400):
        cache.put(f"{number:03d}", "m", ChatReply("x" * 200))
    cache.close()
    content = bytearray(cache.path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    cache.path.write_bytes(content)
    with pytest.raises(RunError, match="recover"):
        ReplyCache(cache.path).get("200")


def test_a_folder_in_its_place_or_no_permission_is_a_users_error(tmp_path):
    (tmp_path / "c.sqlite").mkdir()
    with pytest.raises(RunError, match="cannot be used"):
        ReplyCache(tmp_path / "c.sqlite")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be used"):
        ReplyCache(tmp_path / "file" / "c.sqlite")


def test_a_copy_of_a_file_without_its_log_still_opens(tmp_path):
    """Who copies only the main file loses the last replies, and nothing else."""
    cache = ReplyCache(tmp_path / "c.sqlite")
    cache.put("k", "m", REPLY)
    shutil.copy(cache.path, tmp_path / "copy.sqlite")
    assert ReplyCache(tmp_path / "copy.sqlite").get("k") in (None, cache.get("k"))


FAILURES = ["refused", "empty", "truncated", "schema", "rate_limit", "server", "request", "limit"]


@pytest.mark.parametrize("failure", FAILURES)
def test_of_failed_replies_only_truncated_ones_are_kept(tmp_path, failure):
    asked = []

    def script(request: ChatRequest) -> ChatReply:
        asked.append(request)
        return ChatReply("some", failure=failure, detail="why")

    usage = Usage()
    model = Cached(ScriptedModel(script), ReplyCache(tmp_path / "c.sqlite"), usage)
    replies = [asyncio.run(model.reply(ask("x"))) for _ in range(2)]
    assert [reply.failure for reply in replies] == [failure] * 2
    assert [reply.text for reply in replies] == ["some"] * 2
    assert len(asked) == (1 if failure == "truncated" else 2)
    assert usage.failures == {failure: 2}


def test_another_sample_or_sampling_is_another_request(tmp_path):
    model = Cached(ScriptedModel(lambda request: f"{request.sample}"), ReplyCache(tmp_path / "c.sqlite"), Usage())

    async def scene():
        return [
            (await model.reply(request)).cached
            for request in (ask("x"), ask("x", 1), ask("x"), ChatRequest(ask("x").messages, Sampling(0.5)))
        ]

    assert asyncio.run(scene()) == [False, False, True, False]


class Slow:
    """Answers when it is told to; counts who asks."""

    name = "slow"
    lockstep = True

    def __init__(self) -> None:
        self.asked = 0
        self.go = asyncio.Event()

    async def reply(self, request: ChatRequest) -> ChatReply:
        self.asked += 1
        await self.go.wait()
        return ChatReply("done", cost=1.0)

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("with_cache", [True, False])
def test_the_same_request_at_once_is_asked_once_and_paid_once(tmp_path, with_cache):
    async def scene():
        usage, inner = Usage(), Slow()
        model = Cached(inner, ReplyCache(tmp_path / "c.sqlite") if with_cache else None, usage)
        tasks = [asyncio.ensure_future(model.reply(ask("x"))) for _ in range(5)]
        await asyncio.sleep(0.01)
        tasks[0].cancel()  # the one that began it; the others still get their reply
        inner.go.set()
        replies = await asyncio.gather(*tasks[1:])
        later = await model.reply(ask("x"))
        return inner.asked, [reply.cost for reply in replies], later.cached, usage.shared, model.lockstep

    asked, costs, later, shared, lockstep = asyncio.run(scene())
    assert asked == (1 if with_cache else 2)
    assert (costs, shared, later, lockstep) == ([0.0] * 4, 4, with_cache, True)


def test_a_request_that_nobody_waits_for_any_more_is_given_up():
    async def scene():
        inner = Slow()
        model = Cached(inner, None, Usage())
        tasks = [asyncio.ensure_future(model.reply(ask("x"))) for _ in range(3)]
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()], model._asked

    assert asyncio.run(scene()) == ([], {})
