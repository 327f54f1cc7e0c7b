"""Where the files of a local model lie, and a digest over those that decide its answers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turnwise.errors import ModelError
from turnwise.llm.pretrained import HINT, cannot_load, check_folder, first_line, is_adapter
from turnwise.run import file_digest

_WANTED = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
_DECIDING = frozenset(
    {
        "adapter_config.json",
        "added_tokens.json",
        "chat_template.jinja",
        "chat_template.json",
        "config.json",
        "generation_config.json",
        "merges.txt",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
        "vocab.txt",
    }
)
_known_digests: dict[tuple[str, int, int], str] = {}


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A causal language model on this machine.

    Attributes:
        label: What it is called: its name on the hub, or the end of its path.
        folder: The whole model.
        adapter: The adapter over it; None without one.
        tokenizer: The folder with the tokenizer: the adapter's own, where it has one.
    """

    label: str
    folder: Path
    adapter: Path | None
    tokenizer: Path

    def record_name(self, **settings: object) -> str:
        """`local:LABEL#DIGEST`: what the model is called in records; the same name means the same answers.

        The digest is 12 hexadecimal digits of a SHA-256 over the contents of weights, configuration, tokenizer and
        chat template, of adapter and base model.

        Args:
            settings: Further settings that decide the answers; None leaves one out.
        """
        given = sorted((key, value) for key, value in settings.items() if value is not None)
        total = hashlib.sha256(repr(given).encode())
        for folder in dict.fromkeys(one for one in (self.folder, self.adapter, self.tokenizer) if one is not None):
            for path in sorted(folder.iterdir()):
                if path.name in _DECIDING or path.suffix in (".safetensors", ".model"):
                    total.update(f"{path.name} {_content(path)}\n".encode("utf-8", "surrogateescape"))
            total.update(b"\n")
        return f"local:{self.label}#{total.hexdigest()[:12]}"


def find_model(name: str) -> ModelFiles:
    """Find a model or adapter; one on the hub is downloaded (safetensors and text files only) where it is not yet.

    Args:
        name: A folder, or a name on the hub.

    Raises:
        ModelError: There is none, it has no safetensors, or an adapter's base model cannot be found.
    """
    folder = _folder(name)
    if not is_adapter(folder):
        check_folder(str(folder))
        if not any(folder.glob("*.safetensors")):
            raise cannot_load(str(folder), "model", FileNotFoundError("no *.safetensors in the folder"))
        return ModelFiles(_label(name), folder, None, folder)
    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelError(
            f"{name}: expected the adapter's weights as adapter_model.safetensors, found none",
            hint="convert an adapter that you trust: load it with peft, then save_pretrained()",
        )
    base = _base_of(folder)
    own_tokenizer = (folder / "tokenizer_config.json").is_file()
    return ModelFiles(_label(name), base, folder, folder if own_tokenizer else base)


def _base_of(adapter: Path) -> Path:
    """The folder of the base model that the adapter's configuration names."""
    path = adapter / "adapter_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        name, revision = config["base_model_name_or_path"], config.get("revision")
        if not isinstance(name, str) or not name:
            raise TypeError(f"base_model_name_or_path is {name!r}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: expected the name of a base model ({error})") from None
    try:
        folder = _folder(name, revision)
        check_folder(str(folder))
    except ModelError as error:
        raise ModelError(
            f"{adapter}: its base model cannot be found ({error.message})",
            hint=f"a relative path counts from where turnwise runs; edit base_model_name_or_path in {path} if it moved",
        ) from None
    return folder


def _folder(name: str, revision: str | None = None) -> Path:
    local = Path(name).expanduser()
    if local.is_dir():
        return local
    check_folder(name)
    from huggingface_hub import snapshot_download

    try:
        # Subfolders and "consolidated" files hold the same weights again, in other formats.
        found = snapshot_download(
            name, revision=revision, allow_patterns=list(_WANTED), ignore_patterns=["*/*", "consolidated*"]
        )
    except Exception as error:
        raise ModelError(
            f"{name}: no such folder, and no model of this name could be fetched ({first_line(error)})", hint=HINT
        ) from error
    return Path(found)


def _label(name: str) -> str:
    """A hub name as it is; of a path the last part, with its parent where it alone says nothing (`runs/a/model`)."""
    path = Path(name).expanduser()
    if not path.is_dir():
        return name
    path = path.resolve()
    says_nothing = path.name in ("model", "adapter") or path.name.startswith("checkpoint")
    return f"{path.parent.name}/{path.name}" if says_nothing else path.name


def _content(path: Path) -> str:
    """The SHA-256 of a file, remembered while this process runs and the file keeps its size and time."""
    status: Any = path.stat()
    key = (str(path.resolve()), status.st_size, status.st_mtime_ns)
    if key not in _known_digests:
        _known_digests[key] = file_digest(path)
    return _known_digests[key]
