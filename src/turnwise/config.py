"""Configuration: YAML text and `--set a.b=c` overrides, checked against a pydantic model that lives beside its stage.

Unknown keys are errors with a suggestion, and every complaint names the file and line it is about.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from turnwise.errors import ConfigError


class StrictModel(BaseModel):
    """A configuration model in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


Model = TypeVar("Model", bound=BaseModel)

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def expand_variables(text: str) -> str:
    """Replace `${NAME}` by the environment variable and `${NAME:-default}` by it or, where unset or empty, the default.

    Raises:
        ValueError: A variable without a default is not set.
    """

    def value(found: re.Match[str]) -> str:
        name, default = found.groups()
        given = os.environ.get(name) or default
        if given is None:
            raise ValueError(f"the environment variable {name} is not set; set it, or write ${{{name}:-DEFAULT}}")
        return given

    return _VARIABLE.sub(value, text)


PathText = Annotated[str, AfterValidator(expand_variables)]
"""A path or name in a configuration file that may hold environment variables."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2's reading: `1e-5` is a float (YAML 1.1 reads text), `2026-11-20` and `no` are texts (a date, false)."""


_OF_YAML_1_1 = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool"}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _OF_YAML_1_1]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def load_config(
    model: type[Model],
    path: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
) -> Model:
    """Read a configuration: the file, then `values` (options of the command line), then `overrides`.

    Args:
        model: The pydantic model that says what is allowed.
        path: A YAML file; None starts from the model's defaults.
        overrides: `a.b=value` texts; values are read as YAML, so `x=1e-5`, `x=true` and `x=[1, 2]` mean what they
            look like.
        values: A tree merged over the file; None values in it are left out.

    Raises:
        ConfigError: The file is missing or no YAML mapping, or a key or value is not allowed.
    """
    tree: dict[str, Any] = {}
    lines: dict[tuple[str, ...], int] = {}
    if path is not None:
        tree, lines = _read_yaml(Path(path))
    _merge(tree, values or {})
    for override in overrides:
        _apply_override(tree, override)
    return _validated(model, tree, path, lines)


def check_config(model: type[Model], tree: Mapping[str, Any], where: str) -> Model:
    """Settings that were put together by program, checked as those of a file are.

    Args:
        model: The pydantic model that says what is allowed.
        tree: The settings.
        where: Where the user wrote them, for messages.

    Raises:
        ConfigError: A key or value is not allowed.
    """
    return _validated(model, tree, where, {})


def _validated(
    model: type[Model], tree: Mapping[str, Any], path: str | Path | None, lines: Mapping[tuple[str, ...], int]
) -> Model:
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise _explain(error, model, path, tree, lines) from None


def _read_yaml(path: Path) -> tuple[dict[str, Any], dict[tuple[str, ...], int]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the configuration cannot be read ({error})") from error
    try:
        lines: dict[tuple[str, ...], int] = {}
        _collect_lines(yaml.compose(text, Loader=_Loader), (), lines, ())
        tree = yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        raise ConfigError(f"{where}: not YAML: {getattr(error, 'problem', None) or error}") from error
    except ValueError as error:  # a value that looks like a number and is none, such as 0b
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if tree is None:
        return {}, {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}:1: expected a mapping of settings, found {type(tree).__name__}")
    return tree, lines


def _collect_lines(
    node: yaml.Node | None, at: tuple[str, ...], lines: dict[tuple[str, ...], int], parents: tuple[yaml.Node, ...]
) -> None:
    """Note the line of every key and list item; refuse what YAML lets pass: repeated keys, nodes that hold themselves.

    Raises:
        yaml.YAMLError: One was found.
    """
    if node is None:
        return
    if any(node is parent for parent in parents):
        raise yaml.MarkedYAMLError(
            problem="an alias (*) stands inside its own anchor (&)", problem_mark=node.start_mark
        )
    parents = (*parents, node)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*at, str(key.value))
            if here in lines and key.value != "<<":
                raise yaml.MarkedYAMLError(
                    problem=f"the setting {'.'.join(here)!r} stands here again, after line {lines[here]}",
                    problem_mark=key.start_mark,
                )
            lines[here] = key.start_mark.line + 1
            _collect_lines(value, here, lines, parents)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            here = (*at, str(number))
            lines[here] = value.start_mark.line + 1
            _collect_lines(value, here, lines, parents)


def _merge(tree: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if value is None:
            continue
        if isinstance(value, Mapping) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = dict(value) if isinstance(value, Mapping) else value


def _apply_override(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    steps = key.strip().split(".")
    if not equals or not all(steps):
        raise ConfigError(f"--set {override}: expected KEY=VALUE, for example --set trainer.learning_rate=1e-5")
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not YAML ({error})") from error
    place: Any = tree
    for number, step in enumerate(steps[:-1]):
        if isinstance(place, list):
            place = _list_item(place, step, override)
        else:
            if place.get(step) is None:
                place[step] = {}
            place = place[step]
        if not isinstance(place, dict | list):
            raise ConfigError(f"--set {override}: {'.'.join(steps[: number + 1])} holds {place!r}, not settings")
    if isinstance(place, list):
        _list_item(place, steps[-1], override)
        place[int(steps[-1])] = value
    else:
        place[steps[-1]] = value


def _list_item(place: list[Any], step: str, override: str) -> Any:
    if not step.isdecimal() or int(step) >= len(place):
        expected = f"a position from 0 to {len(place) - 1}" if place else "no position (the list is empty)"
        raise ConfigError(f"--set {override}: expected {expected}, found {step!r}")
    return place[int(step)]


def _explain(
    error: ValidationError,
    model: type[BaseModel],
    path: str | Path | None,
    tree: Mapping[str, Any],
    lines: Mapping[tuple[str, ...], int],
) -> ConfigError:
    """One readable message for the first few problems that pydantic found."""
    texts: list[str] = []
    hint: str | None = None
    problems = error.errors()
    for problem in problems[:5]:
        steps = _steps_in(tree, problem["loc"], missing=problem["type"] == "missing")
        dotted = ".".join(steps) or "(top level)"
        line = next((lines[steps[:end]] for end in range(len(steps), 0, -1) if steps[:end] in lines), None)
        where = f"{path}:{line}: " if path is not None and line is not None else f"{path}: " if path else ""
        if problem["type"] == "extra_forbidden":
            text = f"{where}unknown setting {dotted!r}"
            allowed = _allowed_keys(model, steps[:-1])
            close = difflib.get_close_matches(steps[-1], allowed, n=1, cutoff=0.5)
            if hint is None:
                hint = f"did you mean {close[0]!r}?" if close else f"known settings here: {', '.join(sorted(allowed))}"
        elif problem["type"] == "missing":
            text = f"{where}the setting {dotted!r} is missing"
        else:
            given = problem.get("input")
            shown = "" if isinstance(given, dict | list) else f", found {given!r}"
            text = f"{where}{dotted}: {problem['msg'].removeprefix('Value error, ')}{shown}"
        texts.append(text)
    if len(problems) > 5:
        texts.append(f"and {len(problems) - 5} more")
    return ConfigError("\n".join(texts), hint=hint)


def _steps_in(tree: Any, location: Sequence[int | str], *, missing: bool) -> tuple[str, ...]:
    """Pydantic's location without the steps that the user's tree does not hold: it names the members of a union."""
    steps: list[str] = []
    for number, step in enumerate(location):
        held = step in tree if isinstance(tree, Mapping) else isinstance(step, int) and isinstance(tree, list)
        if held:
            tree = tree[step]
        if held or (missing and number == len(location) - 1):
            steps.append(str(step))
    return tuple(steps)


def _allowed_keys(model: type[BaseModel], steps: Sequence[str]) -> list[str]:
    """The keys that the model allows at a place of the tree."""
    current: type[BaseModel] = model
    free = False  # the next step is a key that the user has chosen
    for step in steps:
        if free or step.isdigit():
            free = False
            continue
        field = current.model_fields.get(step)
        free = field is not None and get_origin(field.annotation) is dict
        nested = _nested_model(field.annotation) if field is not None else None
        if nested is None:
            return []
        current = nested
    return [field.alias or name for name, field in current.model_fields.items()]


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        nested = _nested_model(argument)
        if nested is not None:
            return nested
    return None
