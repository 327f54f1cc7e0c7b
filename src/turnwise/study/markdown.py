"""A study's results as one Markdown document."""

from __future__ import annotations

from pathlib import Path

from turnwise.run import write_text
from turnwise.study.findings import findings
from turnwise.study.rendering import TextTable, parts
from turnwise.study.results import Results, read_results

MARKDOWN_NAME = "results.md"


def to_markdown(results: Results) -> str:
    """The results as one Markdown document; the same figures always give the same text."""
    lines = [f"# Study {_escaped(results.name)}", "", _head(results), "", "## Findings", ""]
    lines += [f"- {_escaped(sentence)}" for sentence in findings(results)] or ["The study has no figures yet."]
    for part in parts(results):
        lines += ["", f"## {part.title}", ""]
        if part.missing is not None:
            lines.append(_escaped(part.missing))
            continue
        blocks = [[_escaped(paragraph)] for paragraph in part.text]
        for table in part.tables:
            blocks += [[f"**{_escaped(table.caption)}**"], _markdown_table(table)]
        lines += [line for block in blocks for line in ("", *block)][1:]
    return "\n".join(lines) + "\n"


def write_markdown(folder: str | Path) -> Path:
    """Write `results.md` into a study's folder, atomically, from the files in it.

    Raises:
        DataError: The study's files are absent or unreadable.
    """
    target = Path(folder) / MARKDOWN_NAME
    write_text(target, to_markdown(read_results(folder)))
    return target


def _head(results: Results) -> str:
    return _escaped(
        f"Mixtures, by complexity: {', '.join(f'{name} ({one:g})' for name, one in results.complexity.items())}. "
        f"Methods: {', '.join(results.methods)}. Seeds: {', '.join(map(str, results.seeds))}. "
        f"Reference: {results.reference or 'none'}. Oracle: {results.oracle or 'none'}."
    )


def _markdown_table(table: TextTable) -> list[str]:
    texts = {0, *table.texts}
    rule = ["---" if place in texts else "---:" for place in range(len(table.columns))]
    return [
        f"| {' | '.join(row)} |"
        for row in (map(_escaped, table.columns), rule, *(map(_escaped, r) for r in table.rows))
    ]


def _escaped(text: str) -> str:
    """Names and reasons must not end a cell, or become markup or a link."""
    shown = " ".join(text.split())
    for character in ("\\", "|", "<", "`", "*"):
        shown = shown.replace(character, f"\\{character}")
    return shown.replace("](", "]\\(")
