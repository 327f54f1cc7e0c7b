"""What asking has come to so far, and where it has to stop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from turnwise.errors import EndpointError
from turnwise.llm.chat import ChatReply


class Usage:
    """Live counters, and the user's own limits; one object may be shared by several models.

    Written from the event loop's thread only; reading it from another is safe.

    Args:
        max_requests: Most requests that are sent, tries included. Kept exactly, however many are in flight.
        max_cost: Most that all replies may cost. What is in flight is taken to cost the mean so far, so the sum ends
            about here; replies that are dearer than the mean can pass it by a little.
        on_change: Called after every change, for progress; it must be quick.

    Attributes:
        replies: Replies handed on, failed ones and those from the cache included.
        cached: Of these, from the cache.
        shared: Of these, from a request that was in flight for another asker.
        sent: Requests sent to endpoints, tries included.
        retries: Of these, further tries.
        rate_limited: Replies with status 429.
        failures: Failed replies by kind.
        not_honoured: How often a server ignored what it was asked: `n`, `schema` (no JSON came), `stop`.
        prompt_tokens: Tokens of requests, as the servers counted them; replies from the cache count nothing.
        completion_tokens: Tokens of replies.
        cost: In the currency of the configured prices.
        in_flight: Requests sent and not answered yet.
    """

    def __init__(
        self,
        *,
        max_requests: int | None = None,
        max_cost: float | None = None,
        on_change: Callable[[Usage], None] | None = None,
    ) -> None:
        self.max_requests = max_requests
        self.max_cost = max_cost
        self.on_change = on_change
        self.replies = self.cached = self.shared = 0
        self.sent = self.retries = self.rate_limited = 0
        self.failures: Counter[str] = Counter()
        self.not_honoured: Counter[str] = Counter()
        self.prompt_tokens = self.completion_tokens = 0
        self.cost = 0.0
        self.in_flight = 0
        self._priced = 0

    def limit(self, max_requests: int | None, max_cost: float | None) -> None:
        """Take on further limits; of two limits of one kind, the lower holds."""
        self.max_requests = _lower(self.max_requests, max_requests)
        self.max_cost = _lower(self.max_cost, max_cost)

    def reserve(self, *, retry: bool) -> str | None:
        """Ask to send one request; it counts as sent from here on, and `settle` must follow.

        Returns:
            None where it may be sent, or the limit that forbids it, as a sentence.
        """
        if self.max_requests is not None and self.sent >= self.max_requests:
            return f"the limit of {self.max_requests} requests is reached (max_requests)"
        if self.max_cost is not None:
            mean = self.cost / self._priced if self._priced else 0.0
            if self.cost + self.in_flight * mean >= self.max_cost:
                return f"the cost limit of {self.max_cost:g} is reached (max_cost; spent {self.cost:.4f})"
        self.sent += 1
        self.retries += retry
        self.in_flight += 1
        self._changed()
        return None

    def settle(self) -> None:
        """A request that was reserved has ended, one way or the other."""
        self.in_flight -= 1

    def charge(self, prompt_tokens: int | None, completion_tokens: int | None, cost: float | None) -> None:
        """Count what a server says a reply took, whether or not the reply can be used.

        Raises:
            EndpointError: There is a limit to the cost and the server does not say what a reply took.
        """
        self.prompt_tokens += prompt_tokens or 0
        self.completion_tokens += completion_tokens or 0
        if cost is not None:
            self.cost += cost
            self._priced += 1
        elif self.max_cost is not None:
            raise EndpointError(
                "the endpoint does not report the tokens of its replies, so the cost limit cannot be kept",
                hint="limit the requests instead (max_requests)",
            )

    def count(self, reply: ChatReply, *, shared: bool = False) -> None:
        """Count a reply that is handed on."""
        self.replies += 1
        self.shared += shared
        self.cached += reply.cached and not shared
        if reply.failure is not None:
            self.failures[reply.failure] += 1
        self._changed()

    def to_dict(self) -> dict[str, Any]:
        """All counters by name, for manifests and `--json`."""
        return {
            "replies": self.replies,
            "cached": self.cached,
            "shared": self.shared,
            "sent": self.sent,
            "retries": self.retries,
            "rate_limited": self.rate_limited,
            "failures": dict(self.failures),
            "not_honoured": dict(self.not_honoured),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cost": self.cost,
        }

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change(self)


def _lower(one: Any, other: Any) -> Any:
    return min((limit for limit in (one, other) if limit is not None), default=None)
