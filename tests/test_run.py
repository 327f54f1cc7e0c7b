"""The run folder: whole files or none, never overwritten in silence, and a manifest that tells how it ended."""

from __future__ import annotations

import hashlib
import json
import stat

import pytest

from turnwise.errors import RunError
from turnwise.run import (
    MANIFEST_NAME,
    SCHEMA_VERSION,
    Manifest,
    RunFolder,
    atomic_path,
    file_digest,
    read_manifest,
    write_json,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "deep" / "a.json.gz"
    write_text(target, "old")
    with pytest.raises(ZeroDivisionError), atomic_path(target) as partial:  # noqa: PT012
        assert partial.name.endswith("-a.json.gz"), "the suffixes stay, for writers that choose by them"
        partial.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert names(target.parent) == ["a.json.gz"]
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "new") as partial:
        raise KeyboardInterrupt
    assert names(tmp_path) == ["deep"]


def test_a_written_file_is_as_readable_as_any_other(tmp_path):
    write_text(tmp_path / "ours", "x")
    (tmp_path / "plain").write_text("x")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_json_refuses_what_json_has_not_and_escapes_what_utf8_has_not(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert names(tmp_path) == []
    value = {"é会🙂": ["a\udce9b", 1.5, None]}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == value
    write_json(tmp_path / "b.json", {"x": "é"})
    assert "é" in (tmp_path / "b.json").read_text(encoding="utf-8")


def test_a_digest_is_sha256_of_the_bytes(tmp_path):
    (tmp_path / "f").write_bytes(b"abc" * 100_000)
    assert file_digest(tmp_path / "f") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_a_manifest_tells_what_was_done(tmp_path):
    (tmp_path / "in.jsonl").write_text("{}\n")
    with RunFolder.open(tmp_path / "run", "train", config={"a": {"b": 1}}, seeds={"seed": 3}) as folder:
        folder.manifest.add_input(tmp_path / "in.jsonl", 1)
        folder.manifest.add_input("hf://owner/name")
        folder.manifest.add_output("out", 5, 3, {"too long": 2})
        during = read_manifest(folder.file(MANIFEST_NAME))
        assert (during["status"], during["ended"]) == ("running", None)
    done = read_manifest(tmp_path / "run" / MANIFEST_NAME)
    assert (done["status"], done["command"], done["config"]) == ("done", "train", {"a": {"b": 1}})
    assert done["seeds"] == {"seed": 3}
    assert done["inputs"] == [
        {"path": str(tmp_path / "in.jsonl"), "sha256": hashlib.sha256(b"{}\n").hexdigest(), "records": 1},
        {"path": "hf://owner/name", "sha256": None, "records": None},
    ]
    assert done["outputs"] == [{"path": "out", "records_in": 5, "records_out": 3, "dropped": {"too long": 2}}]
    assert done["started"] <= done["ended"]
    assert {"python", "torch", "trl"} <= done["versions"].keys()


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError, "failed"), (KeyboardInterrupt, "interrupted"), (RunError("x"), "failed"), (SystemExit, "failed")],
)
def test_how_a_run_ended_is_written(tmp_path, error, status):
    with pytest.raises(BaseException), RunFolder.open(tmp_path, "train"):  # noqa: B017, PT011
        raise error
    assert read_manifest(tmp_path / MANIFEST_NAME)["status"] == status


def test_opening_alone_writes_nothing(tmp_path):
    RunFolder.open(tmp_path / "run", "train")
    assert not (tmp_path / "run").exists()


def finished(path, **config):
    with RunFolder.open(path, "train", config=config) as folder:
        write_text(folder.file("kept"), "x")
    return path


def test_a_taken_folder_is_refused_with_the_ways_out(tmp_path):
    finished(tmp_path / "run")
    with pytest.raises(RunError, match="already holds a run") as caught:
        RunFolder.open(tmp_path / "run", "train")
    assert "--resume" in str(caught.value)
    assert "--overwrite" in str(caught.value)


def test_a_run_that_failed_before_it_wrote_anything_is_in_nobodys_way(tmp_path):
    """A wrong key is mended and the command repeated, perhaps with other settings; with a first file it is a run."""
    out, keep = tmp_path / "run", ["requests.sqlite*"]

    def fail(writes=None, **options):
        run = RunFolder.open(out, "evaluate", keep=keep, **options)
        run.__enter__()
        write_text(run.file(writes or "requests.sqlite"), "paid")
        run.__exit__(ValueError, ValueError("wrong key"), None)

    fail(config={"key": 1})
    fail(config={"key": 2})
    fail("answers.jsonl", config={"key": 3}, resume=True)
    assert (out / "requests.sqlite").read_text() == "paid"
    with pytest.raises(RunError, match="already holds a run"):
        RunFolder.open(out, "evaluate", keep=keep, config={"key": 3})


def test_a_folder_of_somebody_else_is_refused_even_with_overwrite(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(RunError, match="not empty and holds no turnwise run"):
            RunFolder.open(tmp_path, "train", **options)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_a_path_that_cannot_be_a_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match="file"):
            RunFolder.open(path, "train")


def test_overwriting_empties_the_folder_but_follows_no_link_out_of_it(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    run = finished(tmp_path / "run")
    (run / "sub").mkdir()
    (run / "sub" / "old").write_text("x")
    (run / "link").symlink_to(outside)
    folder = RunFolder.open(run, "train", overwrite=True)
    assert (run / "kept").exists(), "nothing is removed before the run begins"
    with folder:
        assert names(run) == [".lock", MANIFEST_NAME]
    assert names(run) == [MANIFEST_NAME]
    assert names(outside) == ["precious"]


def test_resuming_keeps_the_files_and_the_start(tmp_path):
    run = finished(tmp_path / "run", lr=1)
    manifest = json.loads((run / MANIFEST_NAME).read_text())
    manifest["started"] = "2001-01-01T00:00:00+00:00"
    write_json(run / MANIFEST_NAME, manifest)
    with RunFolder.open(run, "train", config={"lr": 1}, resume=True) as folder:
        assert folder.resumed
        assert (run / "kept").exists()
    assert read_manifest(run / MANIFEST_NAME)["started"] == "2001-01-01T00:00:00+00:00"


def test_resuming_nothing_starts_a_run(tmp_path):
    with RunFolder.open(tmp_path / "run", "train", resume=True) as folder:
        assert not folder.resumed


def test_resuming_with_another_configuration_names_what_differs(tmp_path):
    run = finished(tmp_path / "run", trainer={"lr": 1, "same": 2}, output="a", data=[{"path": "x"}])
    with pytest.raises(RunError) as caught:
        RunFolder.open(run, "train", config={"trainer": {"lr": 3, "same": 2}, "output": "a"}, resume=True)
    assert "trainer.lr: 1 then, 3 now" in str(caught.value)
    assert "data: [{'path': 'x'}] then, None now" in str(caught.value)
    assert "same" not in str(caught.value)
    RunFolder.open(
        run,
        "train",
        config={"trainer": {"lr": 1, "same": 2}, "output": "b", "data": [{"path": "x"}]},
        resume=True,
        resume_may_change=["output"],
    )


def test_resuming_another_command_or_with_overwrite_is_refused(tmp_path):
    run = finished(tmp_path / "run")
    with pytest.raises(RunError, match="a run of 'turnwise train', not of 'turnwise judge'"):
        RunFolder.open(run, "judge", resume=True)
    with pytest.raises(RunError, match="exclude each other"):
        RunFolder.open(run, "train", resume=True, overwrite=True)


def test_resuming_after_an_input_has_changed_is_refused(tmp_path):
    data = tmp_path / "in.jsonl"
    data.write_text("1")

    def again():
        folder = RunFolder.open(tmp_path / "run", "train", resume=True)
        folder.manifest.add_input(data)
        folder.manifest.add_input("hf://owner/name")
        folder.check_inputs()
        return folder

    with again():
        pass
    again()
    data.write_text("2")
    with pytest.raises(RunError, match=r"in\.jsonl has changed since the run began"):
        again()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (json.dumps({"schema_version": SCHEMA_VERSION + 1}), f"schema version {SCHEMA_VERSION + 1}"),
        ("{", "cannot be read"),
        ("[]", "integer 'schema_version'"),
        ('{"schema_version": "1"}', "integer 'schema_version', found '1'"),
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_refused(tmp_path, text, part):
    (tmp_path / MANIFEST_NAME).write_text(text)
    with pytest.raises(RunError) as caught:
        RunFolder.open(tmp_path, "train", resume=True)
    assert part in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_missing_manifest_is_told(tmp_path):
    with pytest.raises(RunError, match="no manifest found"):
        read_manifest(tmp_path / MANIFEST_NAME)


def test_a_manifest_is_plain_json_with_its_schema_version(tmp_path):
    Manifest("train").write(tmp_path / MANIFEST_NAME)
    assert json.loads((tmp_path / MANIFEST_NAME).read_text())["schema_version"] == SCHEMA_VERSION


def test_a_folder_that_another_process_writes_to_is_refused(tmp_path):
    """A second run, whether it would resume or overwrite, leaves the first one's files alone."""
    with RunFolder.open(tmp_path / "run", "train") as running:
        (running.path / "part").write_text("x")
        for options in ({"resume": True}, {"overwrite": True}):
            second = RunFolder.open(tmp_path / "run", "train", **options)
            with pytest.raises(RunError, match="another process is writing"):
                second.__enter__()
        assert (running.path / "part").read_text() == "x"
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["manifest.json", "part"]
    with RunFolder.open(tmp_path / "run", "train", resume=True):
        pass


def test_what_is_kept_outlives_overwrite_and_a_folder_with_nothing_else_is_free(tmp_path):
    keep = ["requests.sqlite*"]
    out = tmp_path / "out"
    out.mkdir()
    (out / "requests.sqlite").write_text("paid")
    (out / "requests.sqlite-wal").write_text("paid too")
    with RunFolder.open(out, "evaluate", keep=keep):
        (out / "judgments.jsonl").write_text("{}")
    with pytest.raises(RunError, match="already holds a run"):
        RunFolder.open(out, "evaluate", keep=keep)
    with RunFolder.open(out, "evaluate", keep=keep, overwrite=True):
        assert names(out) == [".lock", "manifest.json", "requests.sqlite", "requests.sqlite-wal"]
    assert (out / "requests.sqlite").read_text() == "paid"
    with RunFolder.open(out, "evaluate", overwrite=True):
        assert names(out) == [".lock", "manifest.json"]


def test_settings_that_may_change_can_be_named_by_a_pattern(tmp_path):
    first = {"model": "m", "client": {"max_cost": 1.0, "headers": {"a": "b"}}}
    with RunFolder.open(tmp_path / "out", "evaluate", config=first):
        pass
    second = {"model": "m", "client": {"max_cost": 2.0, "headers": {}}}
    with pytest.raises(RunError, match=r"client\.max_cost: 1\.0 then, 2\.0 now"):
        RunFolder.open(tmp_path / "out", "evaluate", config=second, resume=True)
    folder = RunFolder.open(
        tmp_path / "out", "evaluate", config=second, resume=True, resume_may_change=["client", "client.*"]
    )
    assert folder.resumed
