"""End to end against `transformers serve`, a real server that is not ours, with the model that ships with turnwise.

The server ignores `response_format`, and with continuous batching `stop` too.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from serve import transformers_serve  # noqa: E402

from turnwise.llm.chat import ChatRequest, Sampling  # noqa: E402
from turnwise.llm.drive import run_all, run_one  # noqa: E402
from turnwise.study.base_model import DEMO_FOLDER, load_base  # noqa: E402

pytestmark = pytest.mark.slow

SCHEMA = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}


@pytest.fixture(scope="module")
def requests():
    """First questions of 24 dialogues of the demo's world; greedy."""
    recipe = load_base()[2]
    return [
        ChatRequest([{"role": "user", "content": dialogue.messages[0].text}], Sampling(temperature=0, max_tokens=40))
        for dialogue in recipe.dialogues(24, seed=99)
    ]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The name of the served model."""
    with transformers_serve(DEMO_FOLDER, tmp_path_factory.mktemp("serve") / "log.txt") as name:
        yield name


@pytest.fixture
def opened(served):
    """A function that opens the served model; gives the model and its usage."""
    from turnwise.llm.opening import open_model
    from turnwise.llm.settings import ClientConfig
    from turnwise.llm.usage import Usage

    models = []

    def open_it(**settings):
        usage = Usage()
        models.append(open_model(served, ClientConfig(api_key_env=None, **settings), usage=usage))
        return models[-1], usage

    yield open_it
    for model in models:
        run_one(model.close())


def test_many_requests_at_once_come_back_whole_in_order_and_as_the_local_model_answers(opened, requests):
    """The same weights behind `LocalModel`, in float32 and greedy, are the reference for all 24 texts."""
    from turnwise.llm.local import LocalModel

    model, usage = opened()
    replies = list(run_all(model.reply, requests))
    assert {(reply.failure, reply.finish_reason) for reply in replies} == {(None, "stop")}
    local = list(run_all(LocalModel(DEMO_FOLDER).reply, requests))
    assert [reply.text for reply in replies] == [reply.text for reply in local]
    assert len({reply.text for reply in replies}) > 15
    assert [reply.prompt_tokens for reply in replies] == [reply.prompt_tokens for reply in local]
    assert usage.sent == 24
    assert usage.completion_tokens == sum(reply.completion_tokens for reply in replies)
    assert not usage.not_honoured


def test_a_reply_that_the_token_limit_cut_is_a_failure_with_its_text(opened, requests):
    model, _ = opened()
    whole = run_one(model.reply(requests[0]))
    cut = run_one(model.reply(replace(requests[0], sampling=Sampling(temperature=0, max_tokens=3))))
    assert (cut.failure, cut.finish_reason, cut.completion_tokens) == ("truncated", "length", 3)
    assert cut.text
    assert whole.text.startswith(cut.text)


def test_a_stop_text_that_the_server_ignores_is_cut_here_and_counted(opened, requests):
    model, usage = opened()
    whole = run_one(model.reply(requests[0])).text
    stop = whole.split()[1]
    asked = replace(requests[0], sampling=Sampling(temperature=0, max_tokens=40, stop=(stop,)))
    reply = run_one(model.reply(asked))
    assert (reply.failure, reply.text) == (None, whole[: whole.index(stop)])
    assert usage.not_honoured == {"stop": 1}


def test_a_schema_that_the_server_ignores_is_noticed_and_never_passes_for_an_answer(opened, requests):
    """The model knows no JSON. Without repairs the failure is `schema` with the text; a repair is a second request."""
    model, usage = opened(repairs=0)
    asked = replace(requests[0], schema=SCHEMA)
    reply = run_one(model.reply(asked))
    assert (reply.failure, reply.text, reply.attempts) == ("schema", run_one(model.reply(requests[0])).text, 1)
    assert usage.not_honoured["schema"] == 1
    repaired, usage = opened(repairs=1)
    reply = run_one(repaired.reply(asked))
    assert reply.failure in ("schema", "truncated")
    assert reply.attempts == usage.sent == 2
