"""The local model: batches change nothing, draws repeat, ends are noticed, and nothing that is asked crashes it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from tiny import save_talkative  # noqa: E402

from turnwise.data.read import read_dialogues  # noqa: E402
from turnwise.llm import generate  # noqa: E402
from turnwise.llm.chat import ChatRequest, Sampling  # noqa: E402
from turnwise.llm.drive import run_all, run_one  # noqa: E402
from turnwise.llm.local import LocalModel  # noqa: E402

LONG = Sampling(max_tokens=12)


@pytest.fixture(scope="module")
def base(demo, tmp_path_factory):
    return save_talkative(tmp_path_factory.mktemp("local") / "base", demo.base)


@pytest.fixture(scope="module")
def model(base):
    model = LocalModel(base, batch_size=4)
    yield model
    run_one(model.close())


@pytest.fixture(scope="module")
def prompts(demo):
    """19 conversations of unlike lengths, each up to a user message."""
    dialogues = list(read_dialogues(demo.held_out))[:19]
    return [
        [one.to_dict() for one in dialogue.messages[: 2 * (number % 2) + 1]]
        for number, dialogue in enumerate(dialogues)
    ]


def say(text):
    return [{"role": "user", "content": text}]


def ask(model, requests, **options):
    return list(run_all(model.reply, requests, **options))


def texts(replies):
    return [reply.text for reply in replies]


def count_batches(monkeypatch):
    """How many prompts each batch of the test has."""
    sizes = []

    def counted(model, tokenizer, prompts, *rest, **options):
        sizes.append(len(prompts))
        return generate.generate_batch(model, tokenizer, prompts, *rest, **options)

    monkeypatch.setattr("turnwise.llm.local.generate_batch", counted)
    return sizes


def test_batched_greedy_replies_equal_those_of_plain_generate_one_by_one(base, model, prompts, monkeypatch):
    """Plain `generate` without padding on each prompt alone is the reference; 19 in batches of 4 are 4, 4, 4, 4, 3."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    plain, tokenizer = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    expected = []
    for messages in prompts:
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        made = plain.generate(**ids, do_sample=False, max_new_tokens=12)[0, ids["input_ids"].shape[1] :]
        expected.append(tokenizer.decode(made, skip_special_tokens=True))
    sizes = count_batches(monkeypatch)
    replies = ask(model, [ChatRequest(messages, LONG) for messages in prompts])
    assert texts(replies) == expected
    assert sizes == [4, 4, 4, 4, 3]
    assert len(set(expected)) > 5


def test_what_is_drawn_depends_on_the_request_and_not_on_its_batch(base, model, prompts):
    """The same in batches of 4 and of 1, and again; another seed, or another sample number, draws something else."""
    drawn = Sampling(temperature=1.0, top_p=0.95, max_tokens=12)
    requests = [ChatRequest(messages, drawn) for messages in prompts]
    together = texts(ask(model, requests))
    alone = LocalModel(base, batch_size=1)
    assert texts(ask(alone, requests)) == together == texts(ask(model, requests))
    assert len(set(together)) == len(prompts)
    greedy = ChatRequest(prompts[0], LONG)
    seeded = [ChatRequest(prompts[0], Sampling(temperature=1.0, max_tokens=12, seed=seed)) for seed in (1, 1, 2)]
    again = ChatRequest(prompts[0], Sampling(temperature=1.0, max_tokens=12, seed=1), sample=1)
    one, same, other, second, likeliest = texts(ask(model, [*seeded, again, greedy]))
    assert one == same
    assert len({one, other, second, likeliest}) == 4


def test_a_temperature_too_small_to_divide_by_is_greedy(model, prompts):
    cold = [ChatRequest(messages, Sampling(temperature=1e-300, max_tokens=12)) for messages in prompts[:4]]
    greedy = [ChatRequest(messages, Sampling(temperature=0, max_tokens=12)) for messages in prompts[:4]]
    assert texts(ask(model, cold)) == texts(ask(model, greedy))


def test_requests_that_are_drawn_in_other_ways_never_share_a_batch(model, prompts, monkeypatch):
    """Two ways of drawing, five requests of each in turns: batches of 4 and 1 for each."""
    sizes = count_batches(monkeypatch)
    warm = Sampling(temperature=0.5, max_tokens=3)
    cold = Sampling(max_tokens=3)
    requests = [ChatRequest(prompts[number], warm if number % 2 else cold) for number in range(10)]
    replies = ask(model, requests)
    assert sizes == [4, 1, 4, 1]
    assert texts(replies)[::2] == texts(ask(model, requests[::2]))


def test_draws_follow_the_probabilities_and_top_p_leaves_the_rest_out():
    """Probabilities 0.5, 0.3, 0.2 at temperature 1. In 4,000 draws each share is within 0.03 (above 3.5 standard errors
    of 0.008). With top_p 0.6 the first two remain, at 0.5 / 0.8 = 0.625 and 0.375; at top_p 0.5, the first alone.
    """
    scores = torch.log(torch.tensor([[0.2, 0.5, 0.3]])).repeat(4000, 1)

    def shares(top_p):
        draws = generate._Draws(generate.Drawing(1, 1.0, top_p), [str(number) for number in range(4000)])
        return draws(None, scores).argmax(-1).bincount(minlength=3).div(4000).tolist()

    assert shares(1.0) == pytest.approx([0.2, 0.5, 0.3], abs=0.03)
    assert shares(0.6) == pytest.approx([0, 0.625, 0.375], abs=0.03)
    assert shares(0.5) == [0, 1, 0]


def test_a_reply_at_the_token_limit_is_truncated_and_keeps_its_text(model, prompts):
    (reply,) = ask(model, [ChatRequest(prompts[0], Sampling(max_tokens=5))])
    assert (reply.failure, reply.finish_reason, reply.completion_tokens) == ("truncated", "length", 5)
    assert reply.text
    assert "5 tokens" in reply.detail


def test_a_reply_ends_where_the_model_ends_it(base, model):
    """All tokens but the end token get a score of minus infinity from a bias: the reply is one token long and empty."""
    ending = LocalModel(base)
    loaded = ending._loaded()
    end = ending._tokenizer.eos_token_id

    class OnlyEnd(torch.nn.Module):
        def forward(self, hidden):
            scores = torch.full((*hidden.shape[:-1], loaded.config.vocab_size), -9.0)
            scores[..., end] = 9.0
            return scores

    loaded.lm_head = OnlyEnd()
    (reply,) = ask(ending, [ChatRequest(say("hello"), LONG)])
    assert (reply.failure, reply.finish_reason, reply.completion_tokens) == ("empty", "stop", 1)


def test_a_stop_text_ends_the_reply_and_is_cut_from_it(model, prompts):
    """Stopping at a piece of the unstopped reply, two pieces and one that never comes: the text before it is left."""
    free = ask(model, [ChatRequest(messages, LONG) for messages in prompts[:6]])
    for messages, reply in zip(prompts, free, strict=False):
        middle = len(reply.text) // 2
        stop = reply.text[middle : middle + 3]
        asked = ChatRequest(messages, Sampling(max_tokens=12, stop=("never written", stop)))
        (stopped,) = ask(model, [asked])
        assert stopped.text == reply.text[: reply.text.index(stop)]
        assert stopped.finish_reason == "stop"
        assert stopped.completion_tokens <= reply.completion_tokens


def test_rows_of_a_batch_that_stop_early_do_not_cut_the_others(model, prompts):
    free = texts(ask(model, [ChatRequest(messages, LONG) for messages in prompts[:4]]))
    stop = free[0][2:5]
    replies = ask(model, [ChatRequest(messages, Sampling(max_tokens=12, stop=(stop,))) for messages in prompts[:4]])
    assert texts(replies) == [text.split(stop)[0] for text in free]


@pytest.mark.parametrize(
    ("request_", "detail"),
    [
        (ChatRequest([], LONG), "at least one message"),
        (ChatRequest(say("word " * 600), LONG), "tokens; the model takes 256, its reply included"),
        (ChatRequest(say([{"type": "image_url", "image_url": {"url": "x"}}]), LONG), "type 'image_url'"),
        (ChatRequest(say("a \ud800 surrogate"), LONG), "no Unicode text"),
        (ChatRequest(say("x"), Sampling(extra={"guided_json": {}})), "'guided_json'"),
        (ChatRequest(say("x"), Sampling(temperature=-1)), "temperature"),
        (ChatRequest(say("x"), Sampling(temperature=float("nan"))), "temperature"),
        (ChatRequest(say("x"), Sampling(max_tokens=0)), "max_tokens"),
        (ChatRequest(say("x"), Sampling(stop=("",))), "expected"),
        (ChatRequest([{"role": "narrator", "content": "x"}], LONG), "the chat template does not take"),
    ],
)
def test_what_cannot_be_answered_is_a_failure_with_its_reason(model, request_, detail):
    if "narrator" in str(request_.messages):
        model = with_template(model, "{{ raise_exception('no such role') }}")
    (reply,) = ask(model, [request_])
    assert (reply.failure, reply.attempts) == ("request", 0)
    assert detail in reply.detail


def with_template(model, template):
    import copy

    changed = copy.copy(model)
    changed._tokenizer = copy.deepcopy(model._tokenizer)
    changed._tokenizer.chat_template = template
    return changed


def test_a_reply_that_the_context_has_no_room_for_is_truncated_there(base, prompts):
    """With max_length 4 tokens above the prompt's, 4 of the 12 tokens fit."""
    probe = LocalModel(base)
    length = len(probe._encode(prompts[0]))
    (reply,) = ask(LocalModel(base, max_length=length + 4), [ChatRequest(prompts[0], LONG)])
    assert (reply.failure, reply.prompt_tokens, reply.completion_tokens) == ("truncated", length, 4)


def test_no_max_length_lets_a_conversation_beyond_what_the_model_was_made_for(base):
    (reply,) = ask(LocalModel(base, max_length=5000), [ChatRequest(say("word " * 600), LONG)])
    assert "the model takes 256" in reply.detail


def test_typed_text_parts_are_joined(model):
    parts = [{"type": "text", "text": "where "}, {"type": "text", "text": "is it?"}]
    one, other = ask(model, [ChatRequest(say(parts), LONG), ChatRequest(say("where is it?"), LONG)])
    assert one.text == other.text


def test_replies_come_in_the_order_of_the_requests_over_several_turns(model, prompts, monkeypatch):
    """Eight dialogues of two turns, begun together: every turn is two batches of four, and every run is the same."""

    async def dialogue(messages):
        first = await model.reply(ChatRequest(messages, LONG))
        second = await model.reply(ChatRequest([*messages, *say(first.text)], LONG))
        return first.text, second.text

    sizes = count_batches(monkeypatch)
    runs = [list(run_all(dialogue, prompts[:8], lockstep=model.lockstep)) for _ in range(2)]
    assert runs[0] == runs[1]
    assert sizes == [4, 4, 4, 4] * 2


def test_a_batch_that_does_not_fit_into_memory_is_halved(model, prompts, monkeypatch):
    """Memory for two prompts: four become two and two. Memory for none: every reply is a failure, and no crash."""
    sizes, most = [], 2

    def small(model, tokenizer, prompts, *rest, **options):
        if len(prompts) > most:
            raise torch.OutOfMemoryError("out of memory")
        sizes.append(len(prompts))
        return generate.generate_batch(model, tokenizer, prompts, *rest, **options)

    expected = texts(ask(model, [ChatRequest(messages, LONG) for messages in prompts[:4]]))
    monkeypatch.setattr("turnwise.llm.local.generate_batch", small)
    requests = [ChatRequest(messages, LONG) for messages in prompts[:4]]
    assert texts(ask(model, requests)) == expected
    assert sizes == [2, 2]
    most = 0
    assert {reply.failure for reply in ask(model, requests)} == {"request"}


def test_generation_ends_when_nobody_waits_any_more(base, prompts):
    """Cancelled after the third token of 400: far fewer are made, so Ctrl-C does not wait for a whole batch."""
    lonely = LocalModel(base)
    steps = []

    class Counted(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, hidden):
            steps.append(1)
            if len(steps) == 3:
                loop.call_soon_threadsafe(task.cancel)
                cancelled.wait(10)
            return self.inner(hidden)

    import threading

    cancelled = threading.Event()
    loop = task = None

    async def interrupted():
        nonlocal loop, task
        loop = asyncio.get_running_loop()
        task = loop.create_task(lonely.reply(ChatRequest(prompts[0], Sampling(max_tokens=400))))
        with pytest.raises(asyncio.CancelledError):
            await task
        cancelled.set()
        return await lonely.reply(ChatRequest(prompts[0], Sampling(max_tokens=2)))

    loaded = lonely._loaded()
    loaded.lm_head = Counted(loaded.lm_head)
    after = run_one(interrupted())
    assert after.completion_tokens == 2
    assert len(steps) <= 3 + 1 + 2


@pytest.mark.slow
def test_ctrl_c_ends_a_run_of_the_local_model(base):
    """Interrupted after the first of 4,000 replies in batches of 2, nearly all are never made."""
    script = f"""
from turnwise.llm.chat import ChatRequest, Sampling
from turnwise.llm.drive import run_all
from turnwise.llm.local import LocalModel
model = LocalModel({str(base)!r}, batch_size=2)
requests = [ChatRequest([{{"role": "user", "content": f"q {{n}}"}}], Sampling(max_tokens=50)) for n in range(4000)]
for number, _ in enumerate(run_all(model.reply, requests, window=16)):
    print(number, flush=True)
"""
    running = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell without job control starts its background jobs deaf to Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert running.stdout.readline() == "0\n"
        running.send_signal(signal.SIGINT)
        rest, errors = running.communicate(timeout=120)
    finally:
        running.kill()
        running.communicate()
    assert "KeyboardInterrupt" in errors
    assert len(rest.splitlines()) < 2000
