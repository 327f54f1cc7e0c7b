"""Plain HTTP to one server: a body goes up, a whole body comes down, or one of two things went wrong.

By aiohttp, which takes a tenth of the openai package's processor time for the same request (docs/decisions/0010).
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp

_CONNECT_S = 15.0


class UnreachableError(Exception):
    """No connection could be made: no such name, nothing listens, no certificate."""


class BrokenError(Exception):
    """A connection broke, or was too slow, before the reply was whole."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole reply: status, headers whose names know no case, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connections:
    """Connections to one server, opened when needed and kept open. Belongs to the event loop that first uses it.

    Args:
        timeout_s: Most seconds for one request, from its start to the end of the reply.
        use_proxy: Whether the proxy of the environment (HTTPS_PROXY, ...) is asked; not for a server on this machine.
    """

    def __init__(self, *, timeout_s: float, use_proxy: bool) -> None:
        self._timeout_s = timeout_s
        self._use_proxy = use_proxy
        self._session: aiohttp.ClientSession | None = None

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Send a request and read the reply. Redirects are not followed: the headers hold a key.

        Raises:
            UnreachableError: See there.
            BrokenError: See there.
        """
        import aiohttp

        session = self._opened()
        try:
            async with session.request(method, url, data=body, headers=headers, allow_redirects=False) as response:
                return Answer(response.status, response.headers, await response.read())
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError) as error:
            # aiohttp names its TLS setting behind the port, also where there is none.
            said = str(error).replace(" ssl:default", "")
            raise UnreachableError(said or type(error).__name__) from None
        except TimeoutError:
            raise BrokenError(f"no whole reply within {self._timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise BrokenError(f"{type(error).__name__}: {error}") from None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),  # how many is the throttle's matter
                timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=_CONNECT_S),
                trust_env=self._use_proxy,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            # Who forgets to close, or is interrupted, gets no complaint about open connections at the end.
            weakref.finalize(self, _close, self._session, asyncio.get_running_loop())
        return self._session


def _close(session: aiohttp.ClientSession, loop: asyncio.AbstractEventLoop) -> None:
    """Close a session from outside its loop, where that still runs."""
    if session.closed or not loop.is_running():
        return
    done = asyncio.run_coroutine_threadsafe(session.close(), loop)
    try:
        inside = asyncio.get_running_loop() is loop
    except RuntimeError:
        inside = False
    if not inside:
        with suppress(TimeoutError):
            done.result(timeout=1.0)
