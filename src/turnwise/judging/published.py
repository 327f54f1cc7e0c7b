"""FastChat's prompt file (`judge_prompts.jsonl`) as rubrics: same words, same filling, same reading of the reply.

Source: FastChat, `fastchat/llm_judge/common.py` and `gen_judgment.py`. The templates are Python format strings there;
here they are rewritten for `turnwise.judging.prompt.fill` (`{{` becomes `{`), so that both give the same bytes.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from turnwise.data.objects import read_objects
from turnwise.errors import DataError
from turnwise.judging.judge import Rubric
from turnwise.judging.prompt import places
from turnwise.judging.prompt_set import ROLES, PromptSet, Role
from turnwise.judging.ratings import published_choice, published_rating

NAMES: dict[Role, str] = {
    Role("single", second=False, reference=False): "single-v1",
    Role("single", second=False, reference=True): "single-math-v1",
    Role("single", second=True, reference=False): "single-v1-multi-turn",
    Role("single", second=True, reference=True): "single-math-v1-multi-turn",
    Role("pair", second=False, reference=False): "pair-v2",
    Role("pair", second=False, reference=True): "pair-math-v1",
    Role("pair", second=True, reference=False): "pair-v2-multi-turn",
    Role("pair", second=True, reference=True): "pair-math-v1-multi-turn",
}
"""FastChat's name of the prompt for each role."""

_PARSERS = {"single": ("[[rating]]", published_rating), "pair": ("[[A]]", published_choice)}


def read_published_prompts(path: str | Path) -> PromptSet:
    """Read a prompt file in FastChat's form: JSON Lines of `name`, `type`, `system_prompt`, `prompt_template`, ...

    Prompts of other names are passed over (they are for nothing that is asked here).

    Args:
        path: The file.

    Returns:
        The prompts by role; the version of each is made of the digits of its words, so a changed word shows.

    Raises:
        DataError: The file is missing, a prompt occurs twice, has no place for what is judged, or has one that nothing
            can fill; or there is not one prompt of a known name.
    """
    rubrics: dict[Role, Rubric] = {}
    roles = {name: role for role, name in NAMES.items()}
    for line, record in read_objects(path):
        role = roles.get(str(record.get("name")))
        if role is None:
            continue
        if role in rubrics:
            raise DataError(f"the prompt {NAMES[role]} occurs twice", path=path, line=line)
        try:
            rubrics[role] = _rubric(role, record)
        except DataError as error:
            raise DataError(f"prompt {NAMES[role]}: {error.reason}", path=path, line=line) from None
    if not rubrics:
        known = ", ".join(NAMES[role] for role in ROLES)
        raise DataError(f"found no prompt of a known name; expected {known}", path=path)
    return PromptSet(str(path), rubrics)


def _rubric(role: Role, record: Mapping[str, Any]) -> Rubric:
    system, template = record.get("system_prompt"), record.get("prompt_template")
    if not isinstance(system, str) or not isinstance(template, str):
        raise DataError("expected the texts 'system_prompt' and 'prompt_template'")
    wanted, parse = _PARSERS[role.kind]
    if record.get("output_format") != wanted:
        raise DataError(f"expected the output_format {wanted!r}, found {record.get('output_format')!r}")
    rewritten = rewrite_format(template)
    has = places(rewritten)
    if missing := [name for name in role.judged if name not in has]:
        raise DataError(f"the template has no place for {', '.join(missing)}, so nothing would be judged")
    if unknown := sorted(has - set(role.fields)):
        raise DataError(f"nothing fills {', '.join(unknown)}; known are {', '.join(role.fields)}")
    words = hashlib.sha256(f"{system}\0{template}".encode("utf-8", "surrogatepass")).hexdigest()
    return Rubric(NAMES[role], words[:8], rewritten, parse, system=system)


def rewrite_format(template: str) -> str:
    """A Python format string as a template of `fill`: named fields stay, doubled braces become single ones.

    Raises:
        DataError: It is no format string, a field is not a plain name, or a doubled brace would turn into a field.
    """
    names, parts = [], []
    try:
        for literal, name, spec, conversion in string.Formatter().parse(template):
            parts.append(literal)
            if name is not None:
                if not name.isidentifier() or spec or conversion:
                    raise DataError(f"expected plain fields such as {{question}}, found {{{name}}} with more to it")
                names.append(name)
                parts.append("{" + name + "}")
    except ValueError as error:
        raise DataError(f"the template is no Python format string ({error})") from None
    text = "".join(parts)
    if places(text) != set(names) or any(text.count("{" + name + "}") != names.count(name) for name in set(names)):
        raise DataError("a doubled brace around a word would become a field; write it another way")
    return text
