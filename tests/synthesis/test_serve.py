"""End to end against `transformers serve` with a small real model, which ignores schemas: failures, but none is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from scripted_teacher import ENGLISH, Overlap, split  # noqa: E402
from serve import transformers_serve  # noqa: E402

from turnwise.llm.chat import Sampling  # noqa: E402
from turnwise.llm.drive import run_all, run_one  # noqa: E402
from turnwise.llm.opening import open_model  # noqa: E402
from turnwise.llm.settings import ClientConfig  # noqa: E402
from turnwise.llm.usage import Usage  # noqa: E402
from turnwise.study.base_model import DEMO_FOLDER  # noqa: E402
from turnwise.synthesis.stepwise import CodStepwise  # noqa: E402
from turnwise.synthesis.teacher_modes import Cod, Cot, Direct  # noqa: E402

pytestmark = pytest.mark.slow

SHORT = Sampling(temperature=0, max_tokens=24)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The name of the served model."""
    with transformers_serve(DEMO_FOLDER, tmp_path_factory.mktemp("serve") / "log.txt") as name:
        yield name


def test_every_mode_ends_with_a_failure_that_holds_what_the_model_said(served, tmp_path):
    usage = Usage()
    settings = ClientConfig(api_key_env=None, repairs=1, max_tries=2, backoff_s=0.1)
    model = open_model(served, settings, cache=tmp_path / "replies.sqlite", usage=usage)
    modes = [
        *(kind(model, sampling=SHORT) for kind in (Direct, Cot, Cod)),
        CodStepwise(model, sampling=SHORT, retriever=Overlap, split=split),
    ]
    documents = [replace(ENGLISH, id=f"{number}", text=f"{number}. {ENGLISH.text}") for number in range(2)]
    work = [(mode, document) for mode in modes for document in documents]
    written = list(run_all(lambda item: item[0].write(item[1]), work))
    print([(one.failure, one.detail, one.raw) for one in written], usage.to_dict())
    run_one(model.close())
