"""What a mixture's configuration allows."""

from __future__ import annotations

import pytest

from turnwise.config import load_config
from turnwise.data.mix_config import MixConfig, MixSource
from turnwise.errors import ConfigError


def config(*sources, **settings):
    return load_config(MixConfig, values={"sources": list(sources), **settings})


def test_a_path_alone_is_a_source():
    assert config("a.jsonl").sources == [MixSource(path="a.jsonl")]


@pytest.mark.parametrize(
    ("source", "label"),
    [
        ({"path": "x/chats.v2.jsonl.gz"}, "chats.v2"),
        ({"path": "x/chats.v2.parquet"}, "chats.v2"),
        ({"path": "x/folder/"}, "folder"),
        ({"path": "."}, "."),
        ({"path": "hf://OWNER/NAME"}, "OWNER/NAME"),
        ({"path": "x/a.json", "name": "mine"}, "mine"),
        ({"world": {"n": 1}}, "world"),
    ],
)
def test_labels(source, label):
    assert MixSource(**source).label == label


@pytest.mark.parametrize("sample", [1, 2000, 0.5, 1.0, None])
def test_samples_are_numbers_or_shares_and_stay_what_they_are(sample):
    found = MixSource.model_validate_json(MixSource(path="a", sample=sample).model_dump_json()).sample
    assert (type(found), found) == (type(sample), sample)


@pytest.mark.parametrize("sample", [0, -1, 0.0, 1.5, True, "half", float("nan")])
def test_other_samples_are_refused(sample):
    with pytest.raises(ConfigError, match="a whole number from 1, or a share"):
        config({"path": "a", "sample": sample})


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        ({}, {}, "either 'path' or 'world'"),
        ({"path": "a", "world": {"n": 1}}, {}, "either 'path' or 'world'"),
        ({"world": {"n": 1}, "side": "rejected"}, {}, "'side' says how to read a path"),
        ({"path": "a", "cap": 3}, {"size": 5}, "'cap' and 'size' exclude each other"),
        ({"path": "a", "weight": 3}, {}, "'weight' needs 'size' or 'order: interleave'"),
        ({"path": "a", "weight": float("inf")}, {"size": 3}, "sources.0.weight"),
        ({"path": "a"}, {"stream": True, "duplicates": "near"}, "near duplicates need all dialogues in memory"),
        ({"path": "a", "corrupt": [{"kind": "swap", "rate": 0.1}]}, {"stream": True}, "needs a source in memory"),
        ({"path": "a", "teir": "low"}, {}, "did you mean 'tier'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(source, settings, message):
    with pytest.raises(ConfigError, match=message):
        config(source, **settings)


def test_a_resolved_configuration_reads_back_equal():
    given = config({"world": {"n": 3}, "sample": 0.5, "weight": 2}, "a.jsonl", size=4, order="interleave")
    assert load_config(MixConfig, values=given.model_dump(mode="json")) == given
