"""What goes into a mixture, in which order, and that every dialogue left out is counted."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turnwise.config import load_config
from turnwise.data.corruption import CorruptConfig, corrupt_dialogues
from turnwise.data.mix_files import write_mixture
from turnwise.data.mixture import MixConfig, mix_dialogues
from turnwise.data.world import WorldConfig
from turnwise.errors import ConfigError, DataError


@pytest.fixture
def write(tmp_path):
    """`write(name, texts)`: a file of one-turn dialogues whose questions are the texts; returns its path."""

    def to_file(name, texts, **extra):
        path = tmp_path / f"{name}.jsonl"
        records = [{"question": str(text), "answer": "a", **extra} for text in texts]
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return str(path)

    return to_file


def mix(*sources, **given_settings):
    return mix_dialogues(load_config(MixConfig, values={"sources": list(sources), **given_settings}))


def texts(mixture, source=None):
    return [one.messages[0].text for one in mixture.dialogues if source in (None, one.source)]


def dropped(mixture):
    return [dict(counts.dropped) for counts in mixture.counts]


def check_counts(mixture, total):
    for counts in mixture.counts:
        assert counts.found + counts.repeated == counts.written + sum(counts.dropped.values())
        assert min(counts.found, counts.repeated, counts.written, *counts.dropped.values(), 0) == 0
    assert sum(counts.written for counts in mixture.counts) == total


def test_every_dialogue_has_the_source_and_tier_that_the_configuration_gives(write):
    """A name replaces the data's own source; without one the data's own stays, and the file's name stands in."""
    a, b, c = write("a", "1"), write("b", "2", source="own", tier="low"), write("c", "3", source="own", tier="low")
    found = mix(a, b, {"path": c, "name": "mine", "tier": "high"}, order="concatenate").dialogues
    assert [(one.source, one.tier) for one in found] == [("a", None), ("own", "low"), ("mine", "high")]


def test_skip_and_limit_cut_contiguous_ranges_that_do_not_overlap(write):
    path = write("a", range(10))
    held_out, train = {"path": path, "limit": 3}, {"path": path, "skip": 3, "limit": 4}
    assert texts(mix(held_out, order="concatenate")) == ["0", "1", "2"]
    found = mix(train, order="concatenate")
    assert texts(found) == ["3", "4", "5", "6"]
    assert dropped(found) == [{"skipped first": 3}]
    check_counts(found, 4)


@pytest.mark.parametrize(("sample", "size"), [(7, 7), (0.35, 7), (1.0, 20), (20, 20)])
def test_a_sample_is_as_large_as_asked_and_without_replacement(write, sample, size):
    found = mix({"path": write("a", range(20)), "sample": sample}, order="concatenate")
    assert len(set(texts(found))) == len(found.dialogues) == size
    assert texts(found) == sorted(texts(found), key=int)
    check_counts(found, size)


def test_another_seed_draws_others(write):
    source = {"path": write("a", range(100)), "sample": 50}
    draws = [set(texts(mix(source, seed=seed))) for seed in range(4)]
    # Two independent halves of 100 have 25 in common in expectation, with a standard deviation of 2.5.
    assert all(10 < len(one & other) < 40 for one in draws for other in draws if one is not other)


def test_changing_one_source_leaves_the_draws_from_another(write):
    a, b = write("a", range(40)), {"path": write("b", range(100, 140)), "sample": 11}
    alone = texts(mix(b, order="concatenate"))
    for other in (a, {"path": a, "sample": 5}, {"path": a, "skip": 7, "repeat": 3}):
        assert sorted(texts(mix(other, b), "b"), key=int) == alone


def test_another_weight_takes_more_or_fewer_of_the_same(write):
    """At 30 in all and weights 1, 2, 5 to 1 source a gives 15, 20, 25, each a part of the next."""
    b = write("b", range(100, 140))
    taken = [
        set(texts(mix({"path": write("a", range(40)), "weight": weight}, b, size=30), "a")) for weight in (1, 2, 5)
    ]
    assert [len(one) for one in taken] == [15, 20, 25]
    assert taken[0] < taken[1] < taken[2]


def test_a_file_that_moved_gives_the_same_draw(write, tmp_path):
    path = write("a", range(40))
    before = texts(mix({"path": path, "sample": 9}))
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "a.jsonl").rename(tmp_path / "elsewhere" / "a.jsonl")
    assert texts(mix({"path": str(moved), "sample": 9})) == before


def test_two_sources_with_one_label_draw_independently(write):
    source = {"path": write("a", range(100)), "sample": 50}
    found = mix(source, source, order="concatenate")
    first, second = set(texts(found)[:50]), set(texts(found)[50:])
    assert 10 < len(first & second) < 40
    assert [counts.name for counts in found.counts] == ["a", "a#2"]


def test_copies_are_dropped_across_sources_and_the_first_stays(write):
    """a: x y x; b: y z. Of a one is dropped, of b one."""
    found = mix(write("a", "xyx"), write("b", "yz"), duplicates="exact", order="concatenate")
    assert [(one.source, one.messages[0].text) for one in found.dialogues] == [("a", "x"), ("a", "y"), ("b", "z")]
    assert dropped(found) == [{"duplicate": 1}, {"duplicate": 1}]
    assert len(mix(write("a", "xyx"), write("b", "yz")).dialogues) == 5


def test_near_copies_are_counted_apart_from_exact_ones(write):
    """In upper case it is another content with the same words; the third is the first once more."""
    base = " ".join(f"w{number}" for number in range(40))
    path = write("a", [base, base.upper(), base, "other"])
    found = mix(path, duplicates="near", order="concatenate")
    assert texts(found) == [base, "other"]
    assert dropped(found) == [{"near duplicate": 1, "duplicate": 1}]
    check_counts(found, 2)


def test_repeats_are_copies_with_ids_of_their_own(write):
    found = mix({"path": write("a", "xy", id="i"), "repeat": 3}, write("b", "z", id="i"), order="concatenate")
    assert texts(found) == ["x", "x", "x", "y", "y", "y", "z"]
    assert len({one.id for one in found.dialogues}) == 7
    first, second = found.dialogues[:2]
    first.messages[0].content = "changed"
    assert second.messages[0].content == "x"
    assert found.counts[0].repeated == 4
    check_counts(found, 7)


@pytest.mark.parametrize(("cap", "repeat", "size"), [(3, 1, 3), (3, 5, 3), (9, 1, 5), (8, 2, 8), (99, 2, 10)])
def test_a_cap_counts_what_ends_up_in_the_mix(write, cap, repeat, size):
    """Of 5 dialogues: different ones before copies, and copies spread evenly."""
    found = mix({"path": write("a", range(5)), "cap": cap, "repeat": repeat})
    times = Counter(texts(found))
    assert len(found.dialogues) == size
    assert len(times) == min(5, size)
    assert max(times.values()) - min(times.values()) <= 1
    check_counts(found, size)


def test_size_is_divided_by_weight(write):
    """11 at 3 to 1: quotas 8.25 and 2.75, so 8 and 3."""
    a, b = {"path": write("a", range(50)), "weight": 3}, write("b", range(50))
    found = mix(a, b, size=11)
    assert Counter(one.source for one in found.dialogues) == {"a": 8, "b": 3}
    check_counts(found, 11)


def test_a_source_too_small_for_its_part_is_an_error_that_repeating_solves(write):
    a, b = {"path": write("a", range(4))}, {"path": write("b", range(50))}
    with pytest.raises(DataError, match="source 'a': expected 5 dialogues, its part of 10, found 4"):
        mix(a, b, size=10)
    found = mix({**a, "repeat": 2}, b, size=10)
    assert sorted(Counter(texts(found, "a")).values()) == [1, 1, 1, 2]


def test_too_large_a_sample_or_skip_is_an_error(write):
    path = write("a", range(4))
    with pytest.raises(DataError, match="source 'a': expected at least 5 dialogues to draw from, found 4"):
        mix({"path": path, "sample": 5})
    with pytest.raises(DataError, match="source 'a': expected more than 4 dialogues to skip 4 of, found 4"):
        mix({"path": path, "skip": 4})


@pytest.mark.parametrize("stream", [False, True])
def test_an_empty_mixture_is_an_error(write, stream):
    with pytest.raises(DataError, match="the mixture is empty"):
        list(mix({"path": write("a", range(4)), "sample": 1e-9}, stream=stream).dialogues)


def test_orders(write):
    a, b = {"path": write("a", range(8)), "weight": 2}, {"path": write("b", range(100, 104))}
    assert texts(mix({"path": a["path"]}, b, order="concatenate")) == [*map(str, range(8)), "100", "101", "102", "103"]
    assert texts(mix(a, b, order="interleave"))[:6] == ["0", "100", "1", "2", "101", "3"]
    shuffled = texts(mix({"path": a["path"]}, b))
    assert sorted(map(int, shuffled)) == [*range(8), *range(100, 104)]
    assert shuffled != texts(mix({"path": a["path"]}, b, seed=1))


def test_noise_is_an_exact_share_of_what_is_taken_and_labelled():
    """Of 40 drawn dialogues 10 get wrong answers; copies share what was made."""
    wrong = {"kind": "wrong", "rate": 0.25}
    found = mix({"world": {"n": 50}, "sample": 40, "corrupt": [wrong], "repeat": 2}, order="concatenate")
    assert Counter(one.metadata["noise"]["kind"] for one in found.dialogues) == {"wrong": 20, "clean": 60}
    assert found.counts[0].noise == {"wrong": 20, "clean": 60}
    for one, other in zip(found.dialogues[::2], found.dialogues[1::2], strict=True):
        assert (one.messages, one.metadata) == (other.messages, other.metadata)
    truth = {one.id: one for one in WorldConfig(n=50).dialogues()}
    for one in found.dialogues[::2]:
        changed = [mine != right for mine, right in zip(one.replies, truth[one.id].replies, strict=True)]
        assert [turn for turn, differs in enumerate(changed) if differs] == one.metadata["noise"]["turns"]


def test_kinds_of_noise_are_made_one_after_the_other():
    kinds = [CorruptConfig(kind="wrong", rate=0.3), CorruptConfig(kind="swap", rate=0.2, seed=1)]
    by_hand = list(WorldConfig(n=20).dialogues())
    for kind in kinds:
        by_hand = corrupt_dialogues(by_hand, kind, world=WorldConfig(n=20).world())
    corrupt = [kind.model_dump() for kind in kinds]
    found = mix({"world": {"n": 20}, "corrupt": corrupt}, order="concatenate").dialogues
    assert [one.to_dict() for one in found] == [one.to_dict() for one in by_hand]


def test_noise_that_needs_a_world_is_refused_for_a_file(write):
    with pytest.raises(ConfigError, match="checkable world"):
        mix({"path": write("a", "xy"), "corrupt": [{"kind": "wrong", "rate": 0.5}]})


def test_unreadable_records_stop_or_are_counted(write, tmp_path):
    path = write("a", range(4))
    with (tmp_path / "a.jsonl").open("a") as stream:
        stream.write("{broken\n")
    with pytest.raises(DataError, match=r"a\.jsonl:5: found broken JSON"):
        mix(path)
    found = mix(path, on_error="skip")
    assert dropped(found) == [{"unreadable": 1}]
    assert [failure.line for failure in found.failures] == [5]
    check_counts(found, 4)


sources = st.fixed_dictionaries(
    {"path": st.sampled_from(["a", "b"])},
    optional={
        "skip": st.integers(0, 4),
        "limit": st.integers(1, 12),
        "sample": st.floats(0.2, 1.0),
        "cap": st.integers(1, 9),
        "repeat": st.integers(1, 3),
        "tier": st.sampled_from(["high", "low"]),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    given_sources=st.lists(sources, min_size=1, max_size=3),
    order=st.sampled_from(["shuffle", "interleave", "concatenate"]),
    duplicates=st.sampled_from(["keep", "exact"]),
    stream=st.booleans(),
)
def test_whatever_is_mixed_is_counted_named_and_the_same_again(write, given_sources, order, duplicates, stream):
    paths = {"a": write("a", [number % 7 for number in range(10)]), "b": write("b", range(5, 11))}
    resolved = [{**source, "path": paths[source["path"]]} for source in given_sources]
    options = {"order": order, "duplicates": duplicates, "stream": stream, "shuffle_buffer": 4}
    try:
        found = mix(*resolved, **options)
        records = [one.to_dict() for one in found.dialogues]
    except DataError as error:
        assert "empty" in str(error)  # noqa: PT017 - a draw of nothing, or copies alone
        return
    check_counts(found, len(records))
    assert len({record["id"] for record in records}) == len(records)
    assert [one.to_dict() for one in mix(*resolved, **options).dialogues] == records
    for source, counts in zip(resolved, found.counts, strict=True):
        assert counts.written <= source.get("cap", counts.written)
    if duplicates == "exact":
        said = Counter(record["messages"][0]["content"] for record in records)
        assert max(said.values()) <= max(source.get("repeat", 1) for source in resolved)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    a=st.fixed_dictionaries(
        {},
        optional={
            "skip": st.integers(0, 4),
            "limit": st.integers(8, 12),
            "sample": st.integers(1, 6),
            "cap": st.integers(1, 9),
            "repeat": st.integers(1, 3),
            "weight": st.floats(0.1, 5),
        },
    ),
    order=st.sampled_from(["interleave", "concatenate"]),
)
def test_streaming_gives_what_memory_gives(write, a, order):
    """Where no share is drawn and nothing is shuffled or dropped as a copy: the same dialogues in the same order."""
    if order == "concatenate":
        a = {key: value for key, value in a.items() if key != "weight"}
    given_sources = [{"path": write("a", range(10)), **a}, {"path": write("b", range(100, 107)), "sample": 5}]
    held, streamed = (mix(*given_sources, order=order, stream=stream) for stream in (False, True))
    assert [one.to_dict() for one in streamed.dialogues] == [one.to_dict() for one in held.dialogues]
    assert streamed.counts == held.counts


def test_streaming_takes_the_parts_that_memory_takes(write):
    given_sources = [{"path": write("a", range(50)), "weight": 3}, write("b", range(100, 150))]
    held, streamed = (mix(*given_sources, size=20, stream=stream, shuffle_buffer=5) for stream in (False, True))
    assert sorted(texts(streamed)) == sorted(texts(held))


def test_a_hub_data_set_is_streamed_when_the_mixture_is(monkeypatch):
    datasets = pytest.importorskip("datasets")
    asked = []

    def load_dataset(name, config, *, split, streaming):
        asked.append((name, split, streaming))
        return [{"prompt": f"q{number}", "response": "a"} for number in range(3)]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    for stream in (True, False):
        found = mix({"path": "hf://OWNER/NAME", "split": "test"}, stream=stream)
        assert {one.source for one in found.dialogues} == {"OWNER/NAME"}
    assert asked == [("OWNER/NAME", "test", True), ("OWNER/NAME", "test", False)]


def test_streaming_draws_a_share_one_by_one(write):
    """1000 at 0.3: 300 in expectation, with a standard deviation of 14.5."""
    found = mix({"path": write("a", range(1000)), "sample": 0.3}, stream=True)
    total = len(list(found.dialogues))
    assert 230 < total < 370
    check_counts(found, total)


def test_streaming_holds_a_buffer_and_not_the_file(tmp_path):
    """10 MB of dialogues, all different, with duplicates sought. Memory holds the file, a stream 100 dialogues of it
    (0.5 MB), and of each dialogue a digest and an id.
    """
    path, number, length = tmp_path / "big.jsonl", 2000, 5000
    with path.open("w") as stream:
        for place in range(number):
            record = {"id": f"d{place}", "question": f"{place} " + "x" * length, "answer": "a"}
            stream.write(json.dumps(record) + "\n")
    peaks = {}
    for streams in (True, False):
        config = MixConfig(
            sources=[{"path": str(path)}, {"world": {"n": 50}}],
            duplicates="exact",
            stream=streams,
            shuffle_buffer=100,
        )
        tracemalloc.start()
        done = write_mixture(config, tmp_path / "out.jsonl", overwrite=True)
        peaks[streams] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert done.written == number + 50
    assert peaks[True] < 2.5e6
    assert peaks[False] > number * length
