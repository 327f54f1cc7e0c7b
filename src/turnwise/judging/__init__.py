"""Judges: a rubric, a prompt with a version, a chat model and a parser; every verdict is a record."""
