"""A server that misbehaves, started for one test or for a module."""

from __future__ import annotations

import pytest
from faulty_server import FaultyServer, Script


@pytest.fixture
def serve(tmp_path):
    """Start a server with a script; all end with the test."""
    from contextlib import ExitStack

    with ExitStack() as servers:
        number = 0

        def start(**script) -> FaultyServer:
            nonlocal number
            number += 1
            return servers.enter_context(FaultyServer(tmp_path / f"server{number}", Script(**script)))

        yield start
