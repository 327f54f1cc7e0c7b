"""`oasst-tree` and `oasst-flat`: message trees, nested under `replies` or flat with parent pointers.

A tree becomes one dialogue per leaf (`tree_paths="all"`, the default: all the replies are there, good and bad), or the
one dialogue that follows the top-ranked reply at every level (`"best"`). Rank 0 is best; a reply without a rank comes
after those with one, in the order of the file. With "all", a reply that has several continuations is in several
dialogues. An assistant message that is marked `deleted` stays in its path, with `train=False`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from turnwise.data.formats.common import (
    Format,
    Options,
    Record,
    as_text,
    build_message,
    record_fields,
    resolve_roles,
    without,
)
from turnwise.dialogue import Dialogue, Message, PreferencePair
from turnwise.errors import DataError

_POINTERS = (("message_id", "parent_id"), ("user_message_id", "parent_message_id"), ("message_id", "parent_message_id"))


@dataclass(slots=True)
class _Node:
    name: str
    message: Message
    rank: float | None
    parent: str | None = None
    replies: list[_Node] = field(default_factory=list)
    line: int | None = None

    def ordered(self) -> list[_Node]:
        """Replies, best first; the sort is stable, so unranked ones keep their order."""
        return sorted(self.replies, key=lambda reply: (reply.rank is None, reply.rank or 0))


def matches_tree(record: Record) -> bool:
    """`prompt` is a message with `replies`."""
    prompt = record.get("prompt")
    return isinstance(prompt, dict) and "text" in prompt and "replies" in prompt


def tree_dialogues(record: Record, options: Options) -> Iterator[Dialogue]:
    """The paths of one nested tree."""
    yield from _path_dialogues(_nested(record["prompt"], options), options, record)


def tree_pairs(record: Record, options: Options) -> Iterator[PreferencePair]:
    """The best-ranked reply of every place with two or more ranked replies, against each of the others."""
    yield from _path_pairs(_nested(record["prompt"], options), record)


def matches_flat(record: Record) -> bool:
    """`text`, `role` and a pair of own and parent identifier."""
    return "text" in record and "role" in record and _pointers(record) is not None


def flat_dialogues(record: Record, options: Options) -> Iterator[Dialogue | DataError]:
    """The paths of all the trees of a file of flat messages; the order of the file does not matter."""
    for root in _roots(record["records"], options):
        if isinstance(root, DataError):
            yield root
        else:
            yield from _path_dialogues(root, options, {})


def flat_pairs(record: Record, options: Options) -> Iterator[PreferencePair | DataError]:
    """As `tree_pairs`, for all the trees of a file of flat messages."""
    for root in _roots(record["records"], options):
        if isinstance(root, DataError):
            yield root
        else:
            yield from _path_pairs(root, {})


def _pointers(record: Record) -> tuple[str, str] | None:
    return next((pair for pair in _POINTERS if pair[0] in record and pair[1] in record), None)


def _node(record: Record, id_key: str, options: Options, line: int | None = None) -> _Node:
    text, role = as_text(record.get("text"), "'text'"), as_text(record.get("role"), "'role'")
    rank = record.get("rank")
    message = build_message(
        resolve_roles([role], options, strict=False)[0], text, without(record, "text", "role", "replies"), name=role
    )
    if record.get("deleted") is True and message.role == "assistant" and message.train is None:
        message.train = False
    # A table's missing rank is NaN.
    is_rank = isinstance(rank, int | float) and not isinstance(rank, bool) and rank == rank
    name = record.get(id_key)
    return _Node("" if name is None else str(name), message, rank if is_rank else None, line=line)


def _nested(record: Any, options: Options) -> _Node:
    if not isinstance(record, dict):
        raise DataError(f"expected a message of the tree to be an object, found {type(record).__name__}")
    node = _node(record, "message_id", options)
    replies = record.get("replies")
    if replies is not None and not isinstance(replies, list):
        raise DataError(f"expected 'replies' to be a list, found {type(replies).__name__}")
    node.replies = [_nested(reply, options) for reply in replies or []]
    return node


def _roots(records: list[tuple[int, Record]], options: Options) -> Iterator[_Node | DataError]:
    nodes: dict[str, _Node] = {}
    for line, record in records:
        pointers = _pointers(record)
        if pointers is None or "text" not in record or "role" not in record:
            yield DataError(f"expected {FLAT.expects}, found keys {list(record)[:8]}", line=line)
            continue
        try:
            node = _node(record, pointers[0], options, line)
        except DataError as error:
            yield DataError(error.reason, line=line)
            continue
        parent = record[pointers[1]]
        node.parent = None if parent is None or parent == "" or parent != parent else str(parent)
        if node.name in nodes:
            yield DataError(f"the message id {node.name!r} occurs twice", line=line)
            continue
        nodes[node.name] = node
    roots = [node for node in nodes.values() if node.parent is None]
    for node in nodes.values():
        if node.parent is None:
            continue
        if node.parent in nodes:
            nodes[node.parent].replies.append(node)
        else:
            yield DataError(f"the parent {node.parent!r} of message {node.name!r} is not in this file", line=node.line)
    yield from roots


def _paths(root: _Node, options: Options) -> Iterator[list[_Node]]:
    stack = [[root]]
    while stack:
        path = stack.pop()
        replies = path[-1].ordered()
        if not replies:
            yield path
            continue
        wanted = replies[:1] if options.tree_paths == "best" else replies
        # Pushed in reverse: the stack then yields the best path first.
        stack += [[*path, reply] for reply in reversed(wanted)]


def _path_dialogues(root: _Node, options: Options, record: Mapping[str, Any]) -> Iterator[Dialogue]:
    for path in _paths(root, options):
        fields = record_fields(record, ["prompt"])
        yield Dialogue(
            # A copy per dialogue: paths share nodes, and a stage may set a message's weight.
            messages=[Message.from_dict(node.message.to_dict()) for node in path],
            id=path[-1].name,
            source=fields.source,
            tier=fields.tier,
            metadata=fields.metadata,
        )


def _path_pairs(root: _Node, record: Mapping[str, Any]) -> Iterator[PreferencePair]:
    stack = [[root]]
    while stack:
        path = stack.pop()
        ranked = [reply for reply in path[-1].ordered() if reply.rank is not None and reply.message.role == "assistant"]
        for worse in ranked[1:]:
            fields = record_fields(record, ["prompt"])
            yield PreferencePair(
                prompt=[node.message for node in path],
                chosen=[ranked[0].message],
                rejected=[worse.message],
                id=f"{ranked[0].name}>{worse.name}" if worse.name else "",
                source=fields.source,
                metadata=fields.metadata,
            )
        stack += [[*path, reply] for reply in reversed(path[-1].ordered())]


TREE = Format(
    name="oasst-tree",
    expects="an object with 'prompt': a message with 'text', 'role' and 'replies'",
    matches=matches_tree,
    dialogues=tree_dialogues,
    pairs=tree_pairs,
)
FLAT = Format(
    name="oasst-flat",
    expects="messages with 'text', 'role', an id (message_id or user_message_id) and a parent id",
    matches=matches_flat,
    dialogues=flat_dialogues,
    pairs=flat_pairs,
    gathers=True,
)
