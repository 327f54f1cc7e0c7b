"""Sections that pages of several stages share: what was asked of models, and the settings and files of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turnwise.report.manifest import config_text, pairs, text_of
from turnwise.report.page import Section, Table
from turnwise.report.text import number


def requests_section(results: Mapping[str, Any]) -> Section:
    """What the models were asked and what it cost."""
    section = Section("requests", "Requests and cost")
    usage = results.get("usage")
    if not isinstance(usage, Mapping):
        section.missing = "Nothing was counted: no model was asked by name."
        return section
    section.text.append("Of the last part of the run, where it was resumed: what came from the cache cost nothing.")
    rows = [
        [str(name).replace("_", " "), pairs(value) if isinstance(value, Mapping) else number(value)]
        for name, value in usage.items()
    ]
    section.tables.append(Table("Requests", ["what", "count"], rows))
    return section


def settings_section(manifest: Mapping[str, Any]) -> Section:
    """The files of a run and its resolved configuration."""
    section = Section("data", "Settings and files")
    for kind, columns in (("inputs", ["path", "SHA-256"]), ("outputs", ["path", "in", "out", "dropped, by reason"])):
        records = [one for one in manifest.get(kind) or () if isinstance(one, Mapping)]
        if kind == "inputs":
            rows = [[text_of(one.get("path")), text_of(one.get("sha256"))] for one in records]
        else:
            rows = [
                [
                    text_of(one.get("path")),
                    number(one.get("records_in")),
                    number(one.get("records_out")),
                    pairs(one.get("dropped")) if one.get("dropped") else "none",
                ]
                for one in records
            ]
        if rows:
            section.tables.append(Table(kind.capitalize(), columns, rows, texts=(len(columns) - 1,)))
    if isinstance(manifest.get("config"), Mapping):
        section.blocks.append(("Resolved configuration", config_text(manifest["config"])))
    return section
