"""Configuration: what a user writes is read as it looks, and what is wrong is named with its place."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import Field

from turnwise.config import StrictModel, load_config
from turnwise.errors import ConfigError


class Source(StrictModel):
    path: str
    limit: int | None = Field(None, gt=0)


class Rule(StrictModel):
    alpha: float = 1.0
    kind: Literal["a", "b"] = "a"


class Settings(StrictModel):
    name: str = "x"
    rate: float = 0.0
    count: int = 0
    data: list[Source] = Field(default_factory=list)
    rule: Rule = Field(default_factory=Rule)
    either: Rule | Source | None = None
    free: dict[str, Any] = Field(default_factory=dict)


def load(tmp_path, text, **options):
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(Settings, path, **options)


def refusal(tmp_path, text, **options):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, **options)
    return str(caught.value).replace(str(tmp_path) + "/", "")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-5", 1e-5), ("1E+3", 1000.0), ("-2e3", -2000.0), ("1.5e-5", 1.5e-5), (".5", 0.5), ("1", 1.0)],
)
def test_numbers_mean_what_they_look_like(tmp_path, text, value):
    assert load(tmp_path, f"rate: {text}").rate == value
    assert load(tmp_path, "", overrides=[f"rate={text}"]).rate == value
    assert load(tmp_path, f"free: {{x: {text}}}").free == {"x": value}


def test_a_date_is_a_text_and_never_a_crash(tmp_path):
    """YAML 1.1 reads dates; `2024-13-45` even raises inside the library."""
    assert load(tmp_path, "name: 2026-11-20").name == "2026-11-20"
    assert load(tmp_path, "free: {day: 2024-13-45}").free == {"day": "2024-13-45"}


def test_no_and_off_are_texts_and_only_true_and_false_are_truth_values(tmp_path):
    """The libraries' own words: `save_strategy: no`."""
    found = load(tmp_path, "free: {a: no, b: off, c: yes, d: true, e: False, f: ~}").free
    assert found == {"a": "no", "b": "off", "c": "yes", "d": True, "e": False, "f": None}


def test_text_that_is_not_ascii_survives(tmp_path):
    assert load(tmp_path, "name: données/会話 🙂").name == "données/会話 🙂"


def test_overrides_reach_into_mappings_and_lists_and_win_over_values_which_win_over_the_file(tmp_path):
    found = load(
        tmp_path,
        "name: file\ncount: 1\ndata:\n  - {path: a}\n  - {path: b, limit: 3}\nfree: {x: {y: 1, z: 2}}\n",
        values={"name": "values", "count": 2, "rate": None, "rule": {"kind": "b"}},
        overrides=[
            "count=3",
            "data.1.limit=7",
            "data.0.path=c",
            "rule.alpha=2e0",
            "free.x.y=[1, {k: true}]",
            "free.n=",
        ],
    )
    assert (found.name, found.count, found.rate) == ("values", 3, 0.0)
    assert [(source.path, source.limit) for source in found.data] == [("c", None), ("b", 7)]
    assert (found.rule.alpha, found.rule.kind) == (2.0, "b")
    assert found.free == {"x": {"y": [1, {"k": True}], "z": 2}, "n": None}


def test_without_a_file_values_and_overrides_are_all_there_is():
    assert load_config(Settings).name == "x"
    assert load_config(Settings, values={"name": "v"}, overrides=["rule.kind=b"]).rule.kind == "b"


def test_an_override_makes_the_settings_on_its_way(tmp_path):
    assert load(tmp_path, "free:\n", overrides=["free.a.b.c=1"]).free == {"a": {"b": {"c": 1}}}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("name: a\nconut: 1", ["c.yaml:2: unknown setting 'conut'", "did you mean 'count'?"]),
        ("rule:\n  alpha: 1\n  knid: a", ["c.yaml:3: unknown setting 'rule.knid'", "did you mean 'kind'?"]),
        (
            "data:\n  - path: a\n  - path: b\n    limti: 3",
            ["c.yaml:4: unknown setting 'data.1.limti'", "did you mean 'limit'?"],
        ),
        ("rule: {qqqq: 1}", ["unknown setting 'rule.qqqq'", "known settings here: alpha, kind"]),
        # A capital letter: the step must not be taken for a class name of pydantic's.
        ("Name: a", ["c.yaml:1: unknown setting 'Name'", "did you mean 'name'?"]),
        ("data: [{path: a, Limit: 1}]", ["c.yaml:1: unknown setting 'data.0.Limit'", "'limit'"]),
        ("either:\n  alpha: 1\n  kind: c", ["c.yaml:3: either.kind:", "found 'c'"]),
        ("rule:\n  alpha: many", ["c.yaml:2: rule.alpha:", "valid number", "found 'many'"]),
        ("data:\n- path: a\n  limit: 0", ["c.yaml:3: data.0.limit:", "greater than 0", "found 0"]),
        ("data:\n- limit: 1", ["c.yaml:2: the setting 'data.0.path' is missing"]),
        ("1: 2", ["c.yaml:1:", "strings"]),
        ("count: 1\nname: a\ncount: 2", ["c.yaml:3", "'count' stands here again, after line 1"]),
        ("free:\n  x: &a [*a]", ["c.yaml:2", "inside its own anchor"]),
        ("name: [a", ["c.yaml:1: not YAML"]),
        ("a: b: c", ["c.yaml:1: not YAML"]),
        ("name: !!python/object/apply:os.system [x]", ["c.yaml:1: not YAML", "could not determine a constructor"]),
        ("- a\n- b", ["c.yaml:1: expected a mapping of settings, found list"]),
        ("just text", ["c.yaml:1: expected a mapping of settings, found str"]),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_a_way_out(tmp_path, text, parts):
    message = refusal(tmp_path, text)
    for part in parts:
        assert part in message


def test_every_problem_is_told_at_once_up_to_five(tmp_path):
    message = refusal(tmp_path, "\n".join(f"bad{number}: 1" for number in range(7)))
    assert message.count("unknown setting") == 5
    assert "and 2 more" in message


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("noequals", "expected KEY=VALUE"),
        ("=1", "expected KEY=VALUE"),
        ("a..b=1", "expected KEY=VALUE"),
        ("name=[", "the value is not YAML"),
        ("name.deeper=1", "name holds 'file', not settings"),
        ("data.5.limit=1", "expected a position from 0 to 0, found '5'"),
        ("data.x=1", "found 'x'"),
        ("data.²=1", "found '²'"),
        ("free.none.0=1", "the list is empty"),
        ("rule.alhpa=1", "unknown setting 'rule.alhpa'"),
    ],
)
def test_a_bad_override_is_named(tmp_path, override, part):
    assert part in refusal(tmp_path, "name: file\ndata: [{path: a}]\nfree: {none: []}", overrides=[override])


def test_a_missing_file_and_bytes_that_are_no_text_are_told(tmp_path):
    with pytest.raises(ConfigError, match=r"nope\.yaml: no such configuration file"):
        load_config(Settings, tmp_path / "nope.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(Settings, tmp_path)
    (tmp_path / "latin.yaml").write_bytes("name: é".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml: the configuration cannot be read"):
        load_config(Settings, tmp_path / "latin.yaml")


def test_an_empty_file_means_the_defaults(tmp_path):
    assert load(tmp_path, "# nothing\n") == Settings()
