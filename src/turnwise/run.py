"""The run folder: where a stage leaves its files, and the manifest that says how they came to be.

Every write is atomic (a temporary file beside the target, then a rename), so a killed run leaves whole files or none.
A folder that holds another run is never overwritten in silence: `resume` continues it, `overwrite` replaces it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from importlib import metadata as importlib_metadata
from pathlib import Path
from typing import IO, Any

from turnwise.errors import RunError

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"
_LOCK_NAME = ".lock"
_VERSIONED_PACKAGES = ("turnwise", "torch", "transformers", "trl", "peft", "accelerate", "datasets")


@contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it to `target` on success, remove it on failure.

    The temporary name keeps the target's suffixes, so writers that choose by suffix (gzip, Parquet) work.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".partial-", suffix="-" + target.name, dir=target.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        # mkstemp makes the file private; a result should be as readable as any other new file.
        partial.chmod(0o666 & ~_umask())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def write_text(target: str | Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(target) as partial:
        partial.write_text(text, encoding="utf-8", errors="surrogatepass")


def write_json(target: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically. NaN and infinity are refused: they are not JSON."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # Lone surrogates (a path that is not UTF-8, scraped text) are no UTF-8, but JSON can escape them.
        text = json.dumps(value, indent=2, allow_nan=False)
    write_text(target, text + "\n")


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass
class Manifest:
    """What a command did: enough to repeat it and to trust its files.

    Attributes:
        command: The turnwise command, for example `train`.
        config: The resolved configuration.
        seeds: Every seed that the run used, by name.
        inputs: Per input file: `path`, `sha256`, `records`.
        outputs: Per output file: `path`, `records_in`, `records_out`, `dropped` (count by reason).
        status: `running`, `done`, `failed` or `interrupted`.
    """

    command: str
    config: Mapping[str, Any] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)
    inputs: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    status: str = "running"
    started: str = field(default_factory=lambda: _now())
    ended: str | None = None
    versions: Mapping[str, str] = field(default_factory=lambda: package_versions())

    def add_input(self, path: str | Path, records: int | None = None) -> None:
        """Record an input file with its hash. A name that is no local file (a hub data set) has a null hash."""
        local = Path(path)
        digest = file_digest(local) if local.is_file() else None
        self.inputs.append({"path": str(path), "sha256": digest, "records": records})

    def add_output(
        self, path: str | Path, records_in: int, records_out: int, dropped: Mapping[str, int] | None = None
    ) -> None:
        """Record an output file with its counts: in, out, and dropped by reason."""
        self.outputs.append(
            {
                "path": str(path),
                "records_in": records_in,
                "records_out": records_out,
                "dropped": dict(dropped or {}),
            }
        )

    def finish(self, status: str = "done") -> None:
        """Mark the end of the run."""
        self.status, self.ended = status, _now()

    def to_dict(self) -> dict[str, Any]:
        """The manifest as it is written."""
        return {
            "schema_version": SCHEMA_VERSION,
            "command": self.command,
            "status": self.status,
            "started": self.started,
            "ended": self.ended,
            "config": dict(self.config),
            "seeds": dict(self.seeds),
            "versions": dict(self.versions),
            "inputs": self.inputs,
            "outputs": self.outputs,
        }

    def write(self, path: str | Path) -> None:
        """Write the manifest to `path`, atomically."""
        write_json(path, self.to_dict())


def read_manifest(path: str | Path) -> dict[str, Any]:
    """Read a manifest.

    Raises:
        RunError: It is missing, no JSON, no manifest, or of a newer schema than this turnwise knows.
    """
    path = Path(path)
    try:
        manifest: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path}: no manifest found", hint="is this the folder of a turnwise run?") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: the manifest cannot be read ({error})") from error
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if not isinstance(manifest, dict) or not isinstance(version, int):
        raise RunError(f"{path}: expected a manifest with an integer 'schema_version', found {version!r}")
    if version > SCHEMA_VERSION:
        raise RunError(
            f"{path}: written with schema version {version}; this turnwise reads up to {SCHEMA_VERSION}",
            hint="pip install --upgrade turnwise",
        )
    return manifest


class RunFolder:
    """An open run folder. Use `RunFolder.open`, then the context manager writes the manifest at start and end.

    Attributes:
        path: The folder.
        manifest: What is written to `manifest.json`.
        resumed: Whether this continues an earlier run.
        passive: Whether another process owns the folder; then nothing is written through this object.
    """

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        *,
        earlier: Mapping[str, Any] | None = None,
        passive: bool = False,
        keep: Sequence[str] = (),
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.resumed = earlier is not None
        self.passive = passive
        self._keep = keep
        self._earlier = earlier or {}
        self._lock: IO[bytes] | None = None

    @classmethod
    def open(
        cls,
        path: str | Path,
        command: str,
        *,
        config: Mapping[str, Any] | None = None,
        seeds: Mapping[str, int] | None = None,
        resume: bool = False,
        overwrite: bool = False,
        resume_may_change: Sequence[str] = (),
        keep: Sequence[str] = (),
        passive: bool = False,
    ) -> RunFolder:
        """Open a folder for a run; nothing is written yet (entering the context writes the first manifest).

        Args:
            path: The folder; made where missing.
            command: The command that writes it.
            config: The resolved configuration.
            seeds: Seeds by name.
            resume: Continue the run that the folder holds. A folder without a run starts a new one.
            overwrite: Remove what the folder holds. A run that failed before it wrote anything needs no leave.
            resume_may_change: Dotted configuration keys that a resumed run may set differently; `a.*` for all below.
            keep: Names of files (patterns such as `requests.sqlite*`) that outlive `overwrite`: what was paid for. A
                folder that holds nothing else is free.
            passive: Another process of the same run owns the folder: check nothing, write nothing.

        Raises:
            RunError: The folder holds another run and neither `resume` nor `overwrite` was given, holds files that
                are no turnwise run, or is to be resumed with another command or configuration.
        """
        path = Path(path)
        if resume and overwrite:
            raise RunError("--resume and --overwrite exclude each other", hint="choose one")
        if path.exists() and not path.is_dir():
            raise RunError(f"{path}: expected a folder to write the run to, found a file")
        manifest = Manifest(command=command, config=dict(config or {}), seeds=dict(seeds or {}))
        if passive:
            return cls(path, manifest, passive=True)
        _check_writable(path)
        held = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
        held = {name for name in held if not _matches(name, (_LOCK_NAME, *keep))}
        if not held or (held == {MANIFEST_NAME} and _failed_with_nothing(path)):
            return cls(path, manifest, keep=keep)
        if not (path / MANIFEST_NAME).exists():
            raise RunError(f"{path}: the folder is not empty and holds no turnwise run", hint="choose another --output")
        if overwrite:
            return cls(path, manifest, keep=keep)
        if not resume:
            raise RunError(
                f"{path}: the folder already holds a run",
                hint="--resume continues it, --overwrite replaces it, or choose another --output",
            )
        earlier = read_manifest(path / MANIFEST_NAME)
        _check_same_run(path, earlier, manifest, resume_may_change)
        manifest.started = earlier.get("started", manifest.started)
        return cls(path, manifest, earlier=earlier, keep=keep)

    def check_inputs(self) -> None:
        """Refuse to resume a run whose input files have changed since it began; call it when all inputs are added.

        Raises:
            RunError: A file has another hash than the manifest of the earlier part of the run says.
        """
        before = {entry["path"]: entry.get("sha256") for entry in self._earlier.get("inputs", [])}
        for entry in self.manifest.inputs:
            if before.get(entry["path"], entry["sha256"]) != entry["sha256"]:
                raise RunError(
                    f"{self.path}: cannot resume, because {entry['path']} has changed since the run began",
                    hint="restore the file, or start anew with --overwrite",
                )

    def file(self, *parts: str) -> Path:
        """A path inside the folder."""
        return self.path.joinpath(*parts)

    def __enter__(self) -> RunFolder:
        if self.passive:
            return self
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.path)
        if not self.resumed:
            _empty(self.path, self._keep)
        self.manifest.write(self.file(MANIFEST_NAME))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self.passive:
            return
        if kind is None:
            status = "done"
        elif issubclass(kind, KeyboardInterrupt):
            status = "interrupted"
        else:
            status = "failed"
        self.manifest.finish(status)
        self.manifest.write(self.file(MANIFEST_NAME))
        if self._lock is not None:
            self.file(_LOCK_NAME).unlink(missing_ok=True)
            self._lock.close()


def package_versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that decide a run's numbers; nothing is imported."""
    versions = {"python": platform.python_version(), "platform": f"{sys.platform}-{platform.machine()}"}
    for name in _VERSIONED_PACKAGES:
        try:
            versions[name] = importlib_metadata.version(name)
        except importlib_metadata.PackageNotFoundError:
            continue
    return versions


def _check_same_run(path: Path, earlier: Mapping[str, Any], now: Manifest, may_change: Sequence[str]) -> None:
    if earlier.get("command") != now.command:
        raise RunError(f"{path}: holds a run of 'turnwise {earlier.get('command')}', not of 'turnwise {now.command}'")
    old, new = _flatten(earlier.get("config", {})), _flatten(json.loads(json.dumps(dict(now.config))))
    differing = (key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    changed = sorted(key for key in differing if not _matches(key, may_change))
    if changed:
        shown = "; ".join(f"{key}: {old.get(key)!r} then, {new.get(key)!r} now" for key in changed[:4])
        raise RunError(
            f"{path}: cannot resume with another configuration ({shown})",
            hint="repeat the first run's settings, or start anew with --overwrite",
        )


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat.update(_flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def _check_writable(path: Path) -> None:
    """Refuse a folder that cannot be made or written to."""
    existing = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if not existing.is_dir():
        raise RunError(f"{path}: cannot be made, because {existing} is a file", hint="choose another --output")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise RunError(f"{path}: no permission to write in {existing}", hint="choose another --output")


def _lock(folder: Path) -> IO[bytes] | None:
    """Keep other processes off a folder; the system gives the lock back when this one ends, however it ends.

    Raises:
        RunError: Another process is writing to the folder.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return None
    stream = (folder / _LOCK_NAME).open("wb")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        stream.close()
        raise RunError(
            f"{folder}: another process is writing to this folder", hint="wait for it, or choose another --output"
        ) from None
    return stream


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _failed_with_nothing(folder: Path) -> bool:
    """Whether the run of a folder that holds its manifest alone ended with an error: there is nothing to lose."""
    return read_manifest(folder / MANIFEST_NAME).get("status") == "failed"


def _empty(folder: Path, keep: Sequence[str]) -> None:
    for entry in folder.iterdir():
        if _matches(entry.name, (_LOCK_NAME, *keep)):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
