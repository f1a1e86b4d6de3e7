"""The keyring: which key a request shows, whether it opens what is asked for, and how often it may.

A check reads only memory. What the ledger says arrives by `refresh`, off the request path, so a revoked key stops within
a second; while the ledger cannot be read, the keys last read go on counting. No answer tells an unknown key from a wrong
secret, a revoked key or an expired one, and all of them take the same path to the same refusal.
"""

import hmac
import math
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from lifecycle.clock import MICROSECONDS
from lifecycle.errors import EvenkeelError, StoreUnavailable
from lifecycle.keys import digest
from lifecycle.ports import Clock, KeyLedger
from lifecycle.records import Key
from service.exchange import Refused, Route

Need = Literal["read", "predict", "feedback"]
"""What a route asks of a key; `read` is granted to every key."""
READ_SECONDS = 0.5
BURST_SECONDS = 10
LONGEST_KEY = 200
_MINUTE = 60 * MICROSECONDS
_OPENS: dict[str, frozenset[str]] = {
    "predict": frozenset({"read", "predict"}),
    "feedback": frozenset({"read", "feedback"}),
    "admin": frozenset({"read", "predict", "feedback"}),
}


class KeyRefused(EvenkeelError):
    """No key, or none that is valid."""

    def __init__(self) -> None:
        super().__init__(
            "this request needs a valid API key: send one as `Authorization: Bearer KEY` or `X-API-Key: KEY`; "
            "`evenkeel keys create` makes one"
        )


class ScopeTooSmall(EvenkeelError):
    """The key is valid, and not for this."""

    def __init__(self, scope: str, need: str) -> None:
        super().__init__(
            f"this key has scope {scope}, and the request needs {need}; use a key of scope {need} or admin"
        )


class RateExceeded(EvenkeelError):
    """The key has used up its requests; `retry_after_seconds`, at least 1, is when it has another."""

    def __init__(self, rate_per_minute: int, retry_after_seconds: int) -> None:
        super().__init__(
            f"this key may send {rate_per_minute} requests a minute and has none left; wait {retry_after_seconds} s, or "
            "use a key with a higher rate"
        )
        self.retry_after_seconds = retry_after_seconds


class Bucket:
    """Requests in store for one key in one worker: full at first, filled steadily, never above `burst`.

    A worker grants its share of the key's rate, so that all workers together grant the rate. The burst is the share of
    BURST_SECONDS, and at least one request.
    """

    __slots__ = ("_at", "_burst", "_rate", "_request", "_stored")

    def __init__(self, rate_per_minute: int, workers: int) -> None:
        # In whole units, so that nothing is lost to rounding: a microsecond brings `rate` of them, a request costs `request`.
        self._rate = rate_per_minute
        self._request = _MINUTE * workers
        self._burst = max(self._request, rate_per_minute * BURST_SECONDS * MICROSECONDS)
        self._stored = self._burst
        self._at: int | None = None

    def take(self, now: int) -> int:
        """Take one request: 0 when there was one, else the microseconds until there is."""
        passed = 0 if self._at is None else max(0, now - self._at)  # a clock that is set back gives nothing
        self._at = now
        self._stored = min(self._burst, self._stored + passed * self._rate)
        if self._stored >= self._request:
            self._stored -= self._request
            return 0
        return -((self._stored - self._request) // self._rate)


@dataclass(frozen=True, slots=True)
class _Entry:
    identifier: str
    digest: bytes
    scope: str
    opens: frozenset[str]
    expires_at: float
    rate_per_minute: int
    bucket: Bucket | None


class Keyring:
    """The keys of one worker; `workers` is how many share each key's rate."""

    def __init__(self, ledger: KeyLedger, workers: int) -> None:
        self._ledger = ledger
        self._workers = workers
        self._entries: Mapping[bytes, _Entry] | None = None
        self._known: list[Key] = []
        self._read_at: int | None = None
        self._nobody = _Entry("", secrets.token_bytes(32), "", frozenset(), -math.inf, 0, None)

    def refresh(self, now: int) -> None:
        """Read the ledger if that was not done within READ_SECONDS. Raises StoreUnavailable; the keys stay as they were."""
        if self._read_at is not None and 0 <= now - self._read_at < READ_SECONDS * MICROSECONDS:
            return
        known = self._ledger.api_keys()
        self._read_at = now
        if self._entries is None or known != self._known:
            self._known = known
            self._entries = self._made(known)  # one assignment: a check sees the old keys or the new

    def check(self, token: bytes | str | None, need: Need, now: int) -> str:
        """The id of the key that `token` is, when it opens `need`.

        Raises KeyRefused, ScopeTooSmall or RateExceeded; StoreUnavailable while the ledger was never read.
        """
        entries = self._entries
        if entries is None:
            raise StoreUnavailable(
                "the API keys were not read yet; try again shortly, and see whether the ledger answers"
            )
        shown = token.encode("utf-8", "replace") if isinstance(token, str) else token or b""
        if len(shown) > LONGEST_KEY:
            shown = b""
        identifier, _, secret = shown.partition(b".")
        entry = entries.get(identifier, self._nobody)
        right = hmac.compare_digest(digest(secret), entry.digest)
        if not right or now >= entry.expires_at:
            raise KeyRefused
        if need not in entry.opens:
            raise ScopeTooSmall(entry.scope, need)
        if entry.bucket and (wait := entry.bucket.take(now)):
            raise RateExceeded(entry.rate_per_minute, math.ceil(wait / MICROSECONDS))
        return entry.identifier

    def _made(self, known: Iterable[Key]) -> dict[bytes, _Entry]:
        before = self._entries or {}
        entries = {key.id.encode(): key for key in known if key.revoked_at is None}
        return {name: self._entry(key, before.get(name)) for name, key in entries.items()}

    def _entry(self, key: Key, before: _Entry | None) -> _Entry:
        rate = key.rate_per_minute or 0
        kept = before.bucket if before and before.rate_per_minute == rate else None
        return _Entry(
            identifier=key.id,
            digest=bytes.fromhex(key.secret_digest),
            scope=key.scope,
            opens=_OPENS[key.scope],
            expires_at=math.inf if key.expires_at is None else key.expires_at,
            rate_per_minute=rate,
            bucket=kept or (Bucket(rate, self._workers) if rate else None),
        )


class KeyCheck:
    """What the gate asks where keys are required: the keyring's answers, as refusals of HTTP."""

    def __init__(self, keyring: Keyring, clock: Clock) -> None:
        self._keyring = keyring
        self._clock = clock

    def check(self, headers: Mapping[bytes, bytes], route: Route) -> str | None:
        """The id of the caller's key; None where the route is open. Raises Refused, or StoreUnavailable."""
        if route.scope == "open":
            return None
        try:
            return self._keyring.check(shown_key(headers), route.scope, self._clock.now())
        except KeyRefused as error:
            raise Refused(401, "unauthenticated", str(error), headers=((b"www-authenticate", b"Bearer"),)) from error
        except ScopeTooSmall as error:
            raise Refused(403, "scope_too_small", str(error)) from error
        except RateExceeded as error:
            wait = b"%d" % error.retry_after_seconds
            raise Refused(429, "rate_exceeded", str(error), headers=((b"retry-after", wait),)) from error


def shown_key(headers: Mapping[bytes, bytes]) -> bytes | None:
    """The key in a request's headers, their names in lower case; None without one, or with two that differ."""
    own = headers.get(b"x-api-key", b"").strip()
    scheme, _, credentials = headers.get(b"authorization", b"").partition(b" ")
    bearer = credentials.strip() if scheme.lower() == b"bearer" else b""
    if own and bearer and own != bearer:
        return None
    return own or bearer or None
