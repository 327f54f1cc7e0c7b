"""Progress of an evaluation: requests and cost in a few words, a line per tenth where there is no terminal."""

from __future__ import annotations

from turnwise.cli.evaluate_progress import evaluation_progress, requests_so_far
from turnwise.llm.usage import Usage


def test_requests_are_told_in_a_few_words_and_zeros_are_left_out():
    usage = Usage()
    assert requests_so_far(usage) == ""
    usage.sent, usage.cached, usage.retries, usage.cost = 1200, 30, 2, 0.12345
    usage.failures.update(["server", "empty"])
    assert requests_so_far(usage) == "1,200 sent, 30 cached, 2 retried, 2 failed, cost 0.1235"


def test_without_a_terminal_there_is_a_line_per_tenth_of_each_stage(capsys):
    usage = Usage()
    with evaluation_progress("sums", usage) as update:
        for done in range(1, 101):
            update("answers", done, 100)
        usage.reserve(retry=False)
        update("judgments", 1, 2)
        update("judgments", 2, 2)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sums: ")]
    assert [line for line in lines if "answers" in line] == [
        f"sums: answers {10 * tenth}/100" for tenth in range(1, 11)
    ]
    assert [line for line in lines if "judgments" in line] == [
        "sums: judgments 1/2  1 sent",
        "sums: judgments 2/2  1 sent",
    ]
    assert usage.on_change is None
