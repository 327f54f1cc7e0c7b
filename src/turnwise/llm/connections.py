"""Plain HTTP to one server: a body goes up, a whole body comes down, or one of two things went wrong.

One httpx2 client per connection. A client's own pool looks through all its connections at every request, and with 64 of
them that costs more than the request (docs/decisions/0010).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2

_CONNECT_S = 15.0


class UnreachableError(Exception):
    """No connection could be made: no such name, nothing listens, no certificate."""


class BrokenError(Exception):
    """A connection broke, or was too slow, before the reply was whole."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole reply: status, headers with names in lower case, body."""

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
        self._idle: list[httpx2.AsyncClient] = []
        self._context: ssl.SSLContext | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a body and read the reply. Redirects are not followed: the headers hold a key.

        Raises:
            UnreachableError: See there.
            BrokenError: See there.
        """
        import httpx2

        client = self._idle.pop() if self._idle else self._open()
        whole = False
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await client.post(url, content=body, headers=headers)
            whole = True
            return Answer(response.status_code, response.headers, response.content)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            raise UnreachableError(str(error) or type(error).__name__) from None
        except TimeoutError:
            raise BrokenError(f"no whole reply within {self._timeout_s:g} s") from None
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise BrokenError(f"{type(error).__name__}: {error}") from None
        finally:
            if whole:
                self._idle.append(client)
            else:
                await client.aclose()

    async def close(self) -> None:
        """Close all connections that no request is using."""
        while self._idle:
            await self._idle.pop().aclose()

    def _open(self) -> httpx2.AsyncClient:
        import httpx2

        if self._context is None:
            self._context = httpx2.create_ssl_context()  # reads all certificates: once, not once per connection
        return httpx2.AsyncClient(
            verify=self._context,
            trust_env=self._use_proxy,
            timeout=httpx2.Timeout(None, connect=_CONNECT_S),
            follow_redirects=False,
        )
