"""A mixture and its manifest: enough to build the same file again, and to notice when that cannot be."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter

import pytest

from turnwise.config import load_config
from turnwise.data.mix_files import rebuild_mixture, write_mixture
from turnwise.data.mixture import MixConfig, mix_dialogues
from turnwise.data.near_duplicates import shingles, similarity
from turnwise.data.read import read_dialogues
from turnwise.errors import DataError, RunError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two files of ten dialogues in the working folder, so that paths in manifests are relative."""
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        records = [{"question": f"{name}{number}", "answer": f"answer {number}"} for number in range(10)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return tmp_path


def config(*sources, **settings):
    return load_config(MixConfig, values={"sources": list(sources), **settings})


def test_the_manifest_says_what_became_of_every_source(folder):
    """a: of ten, two skipped and four of eight drawn. b: all ten twice."""
    done = write_mixture(
        config({"path": "a.jsonl", "skip": 2, "sample": 0.5, "tier": "high"}, {"path": "b.jsonl", "repeat": 2}, seed=3),
        "mixed.jsonl",
    )
    assert done.written == 24
    manifest = json.loads((folder / "mixed.jsonl.manifest.json").read_text())
    assert (manifest["command"], manifest["status"], manifest["seeds"]) == ("data mix", "done", {"seed": 3})
    assert manifest["inputs"] == [
        {
            "path": f"{name}.jsonl",
            "sha256": hashlib.sha256((folder / f"{name}.jsonl").read_bytes()).hexdigest(),
            "records": 10,
        }
        for name in "ab"
    ]
    (output,) = manifest["outputs"]
    assert (output["records_in"], output["records_out"]) == (20, 24)
    assert output["dropped"] == {"skipped first": 2, "not drawn": 4}
    assert output["sources"] == [
        {
            "name": "a",
            "tier": "high",
            "found": 10,
            "repeated": 0,
            "written": 4,
            "dropped": output["dropped"],
            "noise": {},
        },
        {"name": "b", "tier": None, "found": 10, "repeated": 10, "written": 20, "dropped": {}, "noise": {}},
    ]
    assert output["content_sha256"] == hashlib.sha256((folder / "mixed.jsonl").read_bytes()).hexdigest()


def test_a_file_read_by_two_sources_is_one_input(folder):
    write_mixture(config({"path": "a.jsonl", "limit": 3}, {"path": "a.jsonl", "skip": 3, "limit": 4}), "mixed.jsonl")
    (entry,) = json.loads((folder / "mixed.jsonl.manifest.json").read_text())["inputs"]
    assert (entry["path"], entry["records"]) == ("a.jsonl", 7)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
def test_the_manifest_builds_the_same_file_again(folder, suffix, stream):
    noise = {} if stream else {"corrupt": [{"kind": "swap", "rate": 0.5}]}
    given = config(
        {"path": "a.jsonl", "sample": 0.7, **noise}, "b.jsonl", {"world": {"n": 5}}, stream=stream, duplicates="exact"
    )
    first = write_mixture(given, f"first{suffix}")
    again = rebuild_mixture(first.manifest, f"again{suffix}")
    other_form = rebuild_mixture(first.manifest, "lines.jsonl")
    assert (folder / f"again{suffix}").read_bytes() == (folder / f"first{suffix}").read_bytes()
    assert first.content_sha256 == again.content_sha256 == other_form.content_sha256
    assert hashlib.sha256((folder / "lines.jsonl").read_bytes()).hexdigest() == first.content_sha256
    if suffix == ".jsonl.gz":
        assert gzip.decompress((folder / f"first{suffix}").read_bytes()) == (folder / "lines.jsonl").read_bytes()


def test_a_changed_or_missing_input_is_refused(folder):
    done = write_mixture(config("a.jsonl", "b.jsonl"), "mixed.jsonl")
    kept = (folder / "b.jsonl").read_bytes()
    (folder / "b.jsonl").write_bytes(kept + b'{"question": "new", "answer": "a"}\n')
    with pytest.raises(RunError, match=r"b\.jsonl: this input has changed"):
        rebuild_mixture(done.manifest, "again.jsonl")
    (folder / "b.jsonl").unlink()
    with pytest.raises(RunError, match=r"b\.jsonl: this input of .* is not there"):
        rebuild_mixture(done.manifest, "again.jsonl")
    assert not (folder / "again.jsonl").exists()


def test_a_new_file_in_a_folder_is_noticed_and_leaves_nothing(folder):
    (folder / "in").mkdir()
    (folder / "a.jsonl").rename(folder / "in" / "a.jsonl")
    done = write_mixture(config("in"), "mixed.jsonl")
    (folder / "b.jsonl").rename(folder / "in" / "b.jsonl")
    before = sorted(folder.iterdir())
    with pytest.raises(RunError, match=r"a folder now holds in/b\.jsonl"):
        rebuild_mixture(done.manifest, "again.jsonl")
    assert sorted(folder.iterdir()) == before


def test_a_result_that_differs_is_refused(folder):
    """As after a change of the program: the manifest names another content."""
    done = write_mixture(config("a.jsonl"), "mixed.jsonl")
    manifest = json.loads(done.manifest.read_text())
    manifest["outputs"][0]["content_sha256"] = "0" * 64
    done.manifest.write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="came out differently; the inputs' files are the same"):
        rebuild_mixture(done.manifest, "again.jsonl")


def test_a_manifest_of_something_else_is_refused(folder):
    (folder / "x.manifest.json").write_text(json.dumps({"schema_version": 1, "command": "train"}))
    with pytest.raises(RunError, match="expected a manifest of 'turnwise data mix', found 'train'"):
        rebuild_mixture("x.manifest.json", "again.jsonl")


def test_the_output_may_not_be_or_join_a_source(folder):
    for source, output in (("a.jsonl", "a.jsonl"), (".", "mixed.jsonl")):
        with pytest.raises(DataError, match="the output is, or lies in, the source"):
            write_mixture(config(source), output, overwrite=True)
    assert not (folder / "mixed.jsonl").exists()


def test_unreadable_records_are_listed_beside_the_output(folder):
    with (folder / "a.jsonl").open("a") as stream:
        stream.write("{broken\n")
    write_mixture(config("a.jsonl", on_error="skip"), "mixed.jsonl")
    (line,) = (folder / "mixed.jsonl.skipped.jsonl").read_text().splitlines()
    assert (json.loads(line)["path"], json.loads(line)["line"]) == ("a.jsonl", 11)


@pytest.mark.data
def test_copies_in_public_files_are_those_that_comparing_their_messages_finds(public_data):
    """glaive 29, dpo_zh 10, dpo_en 4: counted here as records whose messages occurred before."""
    for name, copies in (("glaive_toolcall_en", 29), ("dpo_zh", 10), ("dpo_en", 4)):
        path = public_data / "llamafactory" / f"{name}_demo.json"
        found = mix_dialogues(config(str(path), duplicates="exact"))
        said = [json.dumps([[m.role, m.content] for m in one.messages] + [one.tools]) for one in read_dialogues(path)]
        assert found.counts[0].dropped["duplicate"] == len(said) - len(set(said)) == copies
        near = mix_dialogues(config(str(path), duplicates="near")).counts[0].dropped
        assert near["duplicate"] == copies


@pytest.mark.data
@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_near_copies_in_a_public_file_are_those_that_comparing_all_pairs_finds(public_data, threshold):
    path = public_data / "llamafactory" / "glaive_toolcall_en_demo.json"
    kept = []
    for own in map(shingles, read_dialogues(path)):
        if all(similarity(own, other) < threshold for other in kept):
            kept.append(own)
    found = mix_dialogues(config(str(path), duplicates="near", near_threshold=threshold))
    assert found.counts[0].written == len(kept) < 270 - 29


@pytest.mark.data
def test_a_mix_of_three_tiers_of_public_data_is_built_again_byte_for_byte(public_data, tmp_path):
    """480 at 3 : 2 : 1 are 240, 160, 80."""
    given = config(
        {"path": str(public_data / "mtbench101"), "tier": "high", "weight": 3},
        {"path": str(public_data / "llamafactory" / "glaive_toolcall_en_demo.json"), "tier": "normal", "weight": 2},
        {"path": str(public_data / "oasst_trees"), "tier": "low", "tree_paths": "best", "weight": 1},
        size=480,
        duplicates="exact",
        seed=7,
    )
    done = write_mixture(given, tmp_path / "mixed.jsonl")
    tiers = Counter(one.tier for one in read_dialogues(tmp_path / "mixed.jsonl"))
    assert tiers == {"high": 240, "normal": 160, "low": 80}
    rebuild_mixture(done.manifest, tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "mixed.jsonl").read_bytes()
