"""End to end against `transformers serve`, which ignores schemas, with a small real model that has learnt two replies.

What it has learnt goes all the way to a record with offsets; whatever else it says is kept as a failure.
"""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from scripted_teacher import Overlap, split, teacher_reply
from serve import transformers_serve
from taught import save_taught

from turnwise.dialogue import Document
from turnwise.llm.chat import Sampling
from turnwise.llm.drive import run_all, run_one
from turnwise.llm.opening import open_model
from turnwise.llm.scripted import ScriptedModel
from turnwise.llm.settings import ClientConfig
from turnwise.llm.usage import Usage
from turnwise.synthesis.chain import to_dialogue
from turnwise.synthesis.stepwise import CodStepwise
from turnwise.synthesis.teacher_modes import Cod, Cot, Direct

pytestmark = pytest.mark.slow

SHORT = Sampling(temperature=0, max_tokens=250)
BRIDGE = Document("bridge", "The bridge was opened in 1890. It is made of steel from Scotland.")
UNKNOWN = Document("violin", "The violin lies in a lighthouse. Nobody plays it in winter.")
WRONG = "I would rather not write JSON today."


def learnt():
    """The requests that `Cod` makes for two documents, with a dialogue and with a refusal to write one."""

    def asked(document):
        model = ScriptedModel(lambda _: '{"turns": []}')
        run_one(Cod(model, turns=2, sampling=SHORT).write(document))
        return model.requests[0].messages

    bridge, violin = asked(BRIDGE), asked(UNKNOWN)
    return [(bridge, teacher_reply(bridge, turns=2)), (violin, WRONG)]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The name of the served model."""
    folder = tmp_path_factory.mktemp("serve")
    assert save_taught(folder / "model", learnt())
    with transformers_serve(folder / "model", folder / "log.txt") as name:
        yield name


def test_a_real_model_writes_a_grounded_dialogue_and_whatever_else_it_says_is_kept(served, tmp_path):
    """Without repairs: the learnt dialogue has two turns whose sentences are the document's first two; the learnt
    sentence is malformed; of the requests it never saw, each ends as a failure with its text."""
    settings = ClientConfig(api_key_env=None, repairs=0, max_tries=2, backoff_s=0.1)

    def run():
        usage = Usage()
        model = open_model(served, settings, cache=tmp_path / "replies.sqlite", usage=usage)
        cod = Cod(model, turns=2, sampling=SHORT)
        others = [
            Direct(model, sampling=SHORT),
            Cot(model, sampling=SHORT),
            CodStepwise(model, sampling=SHORT, retriever=Overlap, split=split),
        ]
        work = [(cod, BRIDGE), (cod, UNKNOWN), *((mode, UNKNOWN) for mode in others)]
        written = list(run_all(lambda item: item[0].write(item[1]), work))
        run_one(model.close())
        return cod, written, usage

    cod, written, usage = run()
    good, malformed, *others = written
    assert good.failure is None
    evidence = to_dialogue(BRIDGE, good, cod).evidence
    assert [one["text"] for one in evidence] == [
        "The bridge was opened in 1890.",
        "It is made of steel from Scotland.",
    ]
    assert (malformed.failure, malformed.raw, malformed.turns) == ("malformed", (WRONG,), ())
    for one in others:
        assert one.failure in ("malformed", "truncated")
        assert len(one.raw) == 1
        assert one.raw[0]
    assert usage.sent == 5
    _, again, usage = run()
    assert (again, usage.sent) == (written, 0)
