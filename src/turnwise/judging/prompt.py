"""Prompts with places to fill, filled in one pass: what is filled in is never read as a template itself."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from turnwise.errors import ConfigError

_PLACE = re.compile(r"\{(\w+)\}")


def fill(template: str, fields: Mapping[str, str]) -> str:
    """Replace every `{name}` whose name is a field; all other braces stay as they are (JSON examples in a prompt).

    One pass over the template: a value that holds `{question}` or a whole template is text and nothing else.

    Raises:
        ConfigError: A field has no place in the template, so the judge would not see it.
    """
    used: set[str] = set()

    def value(place: re.Match[str]) -> str:
        name = place.group(1)
        if name not in fields:
            return place.group(0)
        used.add(name)
        return fields[name]

    text = _PLACE.sub(value, template)
    unused = sorted(fields.keys() - used)
    if unused:
        raise ConfigError(f"the prompt has no place for {', '.join(unused)}", hint="write {" + unused[0] + "} in it")
    return text


def places(template: str) -> set[str]:
    """The names that `fill` can fill in: every `{name}` of the template."""
    return set(_PLACE.findall(template))


def fence(text: str, label: str = "text") -> str:
    """A text between two marks that it cannot hold itself, so that it cannot end its own fence.

    The marks hold digits of the text's SHA-256: to forge the closing mark, a text would have to hold its own digest.
    """
    mark = hashlib.sha256(f"{label}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"<{label} {mark}>\n{text}\n</{label} {mark}>"
