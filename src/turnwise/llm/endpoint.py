"""Where an endpoint is and what opens it. The key stays in here: it is in no name, no message and no repr."""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from turnwise.config import expand_variables
from turnwise.errors import ConfigError
from turnwise.llm.redact import Secrets
from turnwise.llm.settings import ClientConfig

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Endpoint:
    """An address and the headers that go with it.

    Args:
        url: The base of the API, for example `http://localhost:8000/v1`. User and password in it are sent as basic
            authorization; a query is sent with every request.
        settings: Which variable holds the key, and further headers.

    Attributes:
        url: The address as it may be shown: without user, password and query.
        headers: What every request carries.
        secrets: What must be taken out of whatever the server says.
        is_local: Whether it is on this machine.

    Raises:
        ConfigError: The address is none, or a key or a variable of a header is missing.
    """

    def __init__(self, url: str, settings: ClientConfig) -> None:
        parts = _split(url)
        self.url = _shown(parts)
        self._query = parts.query
        self.is_local = _is_local(parts.hostname or "")
        self.headers = {"content-type": "application/json", "accept": "application/json"}
        secrets: list[str | None] = [parts.query or None]
        login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}" if parts.username else None
        if login is not None:
            secrets += [login, unquote(parts.password or ""), parts.password]
            self.headers["authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        given = _expanded(settings.headers)
        secret_headers = [
            value.removeprefix("Bearer ") for name, value in given.items() if "${" in settings.headers[name]
        ]
        secrets += secret_headers
        if settings.api_key_env and not _VARIABLE.fullmatch(settings.api_key_env):
            # It may be the key itself, so it is not shown.
            raise ConfigError(
                f"{self.url}: api_key_env is no name of an environment variable",
                hint="it names the variable that holds the key; a key itself may not stand in settings",
            )
        key = os.environ.get(settings.api_key_env or "", "").strip()
        if key and login is None:
            self.headers["authorization"] = f"Bearer {key}"
            secrets.append(key)
        elif not (key or login or secret_headers or self.is_local) and settings.api_key_env:
            raise ConfigError(
                f"{self.url}: no key: the environment variable {settings.api_key_env} is not set",
                hint="set it, name another with api_key_env, or set api_key_env to null where no key is needed",
            )
        self.headers.update({name.lower(): value for name, value in given.items()})
        for name, value in self.headers.items():
            if not value.isascii() or not value.isprintable():
                raise ConfigError(f"{self.url}: the header {name} holds characters that no header can hold")
        self.secrets = Secrets(secrets)

    def address(self, path: str) -> str:
        """The address of a resource below the base."""
        return f"{self.url}{path}" + (f"?{self._query}" if self._query else "")

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r})"


def without_login(spec: str) -> str:
    """A model's name as the user wrote it, fit for a manifest: user, password and query of an address taken out."""
    start = min((place for scheme in ("http://", "https://") if (place := spec.find(scheme)) >= 0), default=-1)
    if start < 0:
        return spec
    try:
        parts = _split(spec[start:])
    except ConfigError:
        return spec[:start] + "(an address that cannot be read)"
    return spec[:start] + _shown(parts) if parts.username or parts.password or parts.query else spec


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _DEFAULT_PORTS and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        # The address may hold a password, so it is not shown.
        raise ConfigError("the endpoint's address cannot be read", hint="for example http://localhost:8000/v1")
    return parts


def _shown(parts: SplitResult) -> str:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return urlunsplit((parts.scheme, host + port, path, "", ""))


def _is_local(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _expanded(headers: dict[str, str]) -> dict[str, str]:
    try:
        return {name: expand_variables(value) for name, value in headers.items()}
    except ValueError as error:
        raise ConfigError(f"headers: {error}") from None
