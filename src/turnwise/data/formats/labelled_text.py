"""`labelled-text`: a plain text file that holds one dialogue, with a speaker label before every message."""

from __future__ import annotations

import re
from collections import Counter

from turnwise.data.formats.common import ROLE_OF, ROLES_HINT, Options, resolve_roles
from turnwise.dialogue import Dialogue, Message
from turnwise.errors import DataError

NAME = "labelled-text"
EXPECTS = "a text file in which every message starts with a speaker label and a colon"

_LABEL = re.compile(r"^\s*([^\s:：][^:：]{0,19}?)\s*[:：]\s*")


def dialogue_from_lines(lines: list[str], options: Options) -> Dialogue:
    """The dialogue that the lines of one file hold.

    A label is a prefix of at most 20 characters before `:` or `：`: one that `options.roles` names; else one with a
    known role (`User`, `来访者` ...); else one that repeats. Lines without a label continue the message before them;
    text before the first label goes to the metadata as `preamble`.

    Raises:
        DataError: No labels were found, or it is not known who they are.
    """
    labels = _labels(lines, options)
    names: list[str] = []
    texts: list[list[str]] = []
    preamble: list[str] = []
    for line in lines:
        found = _LABEL.match(line)
        if found and found.group(1) in labels:
            names.append(found.group(1))
            texts.append([line[found.end() :]])
        else:
            (texts[-1] if texts else preamble).append(line)
    roles = resolve_roles(names, options, strict=True)
    messages = []
    for name, role, parts in zip(names, roles, texts, strict=True):
        extra = {} if name == role else {"original_role": name}
        messages.append(Message(role, "\n".join(parts).strip(), extra=extra))
    before = "\n".join(preamble).strip()
    return Dialogue(messages, metadata={"preamble": before} if before else {})


def _labels(lines: list[str], options: Options) -> set[str]:
    counts = Counter(found.group(1) for line in lines if (found := _LABEL.match(line)))
    named = {name for name in options.roles.values() if name in counts}
    if named:
        return named | {label for label in counts if ROLE_OF.get(label.casefold())}
    known = {label for label in counts if ROLE_OF.get(label.casefold())}
    if {ROLE_OF[label.casefold()] for label in known} >= {"user", "assistant"}:
        return known
    repeated = {label for label, count in counts.items() if count > 1}
    if not repeated:
        raise DataError(
            "found plain text without speaker labels; expected every message to start with a label such as 'User:'",
            hint="text without dialogue is read as documents (read_documents)",
        )
    if len(repeated) > 2 and not options.keep_speakers:
        shown = ", ".join(repr(label) for label in sorted(repeated)[:6])
        raise DataError(f"found {len(repeated)} prefixes that may be speaker labels ({shown})", hint=ROLES_HINT)
    return repeated
