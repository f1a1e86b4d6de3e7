"""The keyring opens what a key's scope says, at the key's rate, and tells nobody why it refuses a key.

Checks that a wrong keyring could pass are run against one too.
"""

import timeit
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest

from lifecycle.clock import ManualClock
from lifecycle.errors import Conflict, EvenkeelError, InputRejected, StoreUnavailable
from lifecycle.keys import digest, mint, usable
from lifecycle.records import Key, Scope
from service.exchange import Operation, Refused, Request, Response, Route, native_error
from service.keys import (
    READ_SECONDS,
    Bucket,
    KeyCheck,
    KeyRefused,
    Keyring,
    Need,
    RateExceeded,
    ScopeTooSmall,
    shown_key,
)

NOW = 1_700_000_000_000_000
SECOND = 1_000_000
DAY = 86_400 * SECOND


class MemoryKeys:
    """Keys in a list; fails while `broken`, and counts how often it was read."""

    def __init__(self) -> None:
        self.held: list[Key] = []
        self.broken = False
        self.reads = 0

    def add_key(self, key: Key) -> None:
        if any(key.id == held.id for held in self.held):
            raise Conflict("given")
        self.held.append(key)

    def api_keys(self) -> list[Key]:
        self.reads += 1
        if self.broken:
            raise StoreUnavailable("the ledger in this test was told to fail")
        return self.held[::-1]

    def revoke_key(self, identifier: str, at: int) -> Key | None:
        self.held = [replace(key, revoked_at=at) if key.id == identifier else key for key in self.held]
        return next((key for key in self.held if key.id == identifier), None)


class Issued:
    """A ledger with one key, a keyring that has read it, and the key's text."""

    def __init__(
        self,
        scope: Scope = "predict",
        *,
        rate_per_minute: int | None = None,
        expires_days: int | None = None,
        workers: int = 1,
        keyring: type[Keyring] = Keyring,
    ) -> None:
        self.ledger = MemoryKeys()
        self.key, self.text = mint(scope, NOW, rate_per_minute=rate_per_minute, expires_days=expires_days)
        self.ledger.add_key(self.key)
        self.keyring = keyring(self.ledger, workers)
        self.keyring.refresh(NOW)

    def check(self, need: Need = "predict", now: int = NOW) -> str:
        return self.keyring.check(self.text.encode(), need, now)

    def granted(self, requests: int, now: int = NOW) -> int:
        """How many of `requests` at one moment are let through."""
        return sum(not isinstance(refusal(lambda: self.check(now=now)), RateExceeded) for _ in range(requests))


def refusal(ask: Callable[[], object]) -> EvenkeelError | None:
    try:
        ask()
    except EvenkeelError as error:
        return error
    return None


def test_a_key_is_an_id_and_a_long_secret_of_which_only_a_digest_is_kept() -> None:
    key, text = mint("predict", NOW, name="web", rate_per_minute=60, expires_days=2)
    identifier, _, secret = text.partition(".")
    assert (identifier, len(identifier), len(secret)) == (key.id, 15, 43)
    assert (key.name, key.rate_per_minute, key.created_at, key.expires_at) == ("web", 60, NOW, NOW + 2 * DAY)
    assert key.secret_digest == digest(secret.encode()).hex()
    assert secret not in repr(key)
    assert key.secret_digest not in repr(key)


def test_no_two_keys_are_alike() -> None:
    made = [mint("predict", NOW) for _ in range(100)]
    assert len({key.id for key, _ in made}) == len({text.partition(".")[2] for _, text in made}) == 100


@pytest.mark.parametrize("name", ["", "x" * 61, "a\nb", "\x1b[31m"], ids=["empty", "long", "lines", "escape"])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(InputRejected, match="1 to 60 printable characters"):
        mint("predict", NOW, name=name)


def test_a_key_is_usable_until_it_is_revoked_or_expires() -> None:
    key, _ = mint("predict", NOW, expires_days=1)
    assert usable(key, NOW)
    assert usable(key, NOW + DAY - 1)
    assert not usable(key, NOW + DAY)
    assert not usable(replace(key, expires_at=None, revoked_at=NOW), NOW)


@pytest.mark.parametrize(
    ("scope", "opens"),
    [("predict", {"predict", "read"}), ("feedback", {"feedback", "read"}), ("admin", {"predict", "feedback", "read"})],
)
def test_a_key_opens_what_its_scope_says(scope: Scope, opens: set[str]) -> None:
    issued = Issued(scope)
    needs: tuple[Need, ...] = ("predict", "feedback", "read")
    for need in needs:
        if need in opens:
            assert issued.check(need) == issued.key.id
        else:
            with pytest.raises(ScopeTooSmall, match=f"has scope {scope}, and the request needs {need}; use a key"):
                issued.check(need)


def test_text_and_bytes_are_the_same_key() -> None:
    issued = Issued()
    assert issued.keyring.check(issued.text, "predict", NOW) == issued.check()


class AnySecretKeyring(Keyring):
    """Broken: whoever knows an id is let in."""

    def check(self, token: bytes | str | None, need: Need, now: int) -> str:
        shown = token.encode("utf-8", "replace") if isinstance(token, str) else token or b""
        entry = (self._entries or {}).get(shown.partition(b".")[0])
        if entry is None or now >= entry.expires_at:
            raise KeyRefused
        return entry.identifier


def refused_tokens(issued: Issued) -> dict[str, bytes | str | None]:
    """Tokens that must not open anything, by what is wrong with them."""
    identifier, _, secret = issued.text.partition(".")
    changed = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    return {
        "none": None,
        "empty": b"",
        "dot": b".",
        "id alone": identifier.encode(),
        "id and a dot": f"{identifier}.".encode(),
        "secret alone": secret.encode(),
        "another secret": f"{identifier}.{changed}".encode(),
        "the stored digest": f"{identifier}.{issued.key.secret_digest}".encode(),
        "another id": f"ek_AAAAAAAAAAAA.{secret}".encode(),
        "more": f"{issued.text}.".encode(),
        "endless": issued.text.encode() * 1_000,
        "strange text": "\udcff\x00é.",
    }


def let_in(keyring: type[Keyring]) -> list[str]:
    """What of the refused tokens `keyring` lets in."""
    issued = Issued(keyring=keyring)
    tokens = refused_tokens(issued).items()
    return [why for why, token in tokens if refusal(lambda t=token: issued.keyring.check(t, "read", NOW)) is None]  # type: ignore[misc]


def test_nothing_but_the_whole_key_opens_and_a_broken_keyring_is_noticed() -> None:
    assert let_in(Keyring) == []
    assert "another secret" in let_in(AnySecretKeyring)


def test_the_refusal_does_not_tell_why() -> None:
    issued, expired, revoked = Issued(), Issued(expires_days=1), Issued()
    revoked.ledger.revoke_key(revoked.key.id, NOW)
    revoked.keyring.refresh(NOW + SECOND)
    found = [refusal(lambda t=token: issued.keyring.check(t, "read", NOW)) for token in refused_tokens(issued).values()]  # type: ignore[misc]
    found += [refusal(lambda: expired.check(now=NOW + DAY)), refusal(revoked.check)]
    assert {type(error) for error in found} == {KeyRefused}
    assert len({str(error) for error in found}) == 1


def test_a_revoked_key_stops_within_a_second_and_a_new_one_begins() -> None:
    issued = Issued()
    other, text = mint("predict", NOW)
    issued.ledger.revoke_key(issued.key.id, NOW)
    issued.ledger.add_key(other)
    assert issued.check() == issued.key.id
    later = NOW + int(READ_SECONDS * SECOND)
    issued.keyring.refresh(later)
    with pytest.raises(KeyRefused):
        issued.check(now=later)
    assert issued.keyring.check(text, "predict", later) == other.id


def test_the_ledger_is_read_at_most_twice_a_second() -> None:
    issued = Issued()
    for tenth in range(1, 21):
        issued.keyring.refresh(NOW + tenth * SECOND // 10)
    assert issued.ledger.reads == 1 + 4


def test_a_clock_set_back_does_not_keep_revocations_away() -> None:
    issued = Issued()
    issued.ledger.revoke_key(issued.key.id, NOW)
    issued.keyring.refresh(NOW - DAY)
    with pytest.raises(KeyRefused):
        issued.check()


def test_keys_last_read_go_on_counting_while_the_ledger_is_away() -> None:
    issued = Issued()
    issued.ledger.broken = True
    with pytest.raises(StoreUnavailable):
        issued.keyring.refresh(NOW + SECOND)
    assert issued.check() == issued.key.id


def test_before_the_first_read_nobody_is_told_that_a_key_is_wrong() -> None:
    with pytest.raises(StoreUnavailable, match="not read yet; try again shortly"):
        Keyring(MemoryKeys(), 1).check("ek_x.y", "predict", NOW)


class ForgetfulKeyring(Keyring):
    """Broken: every reading of the ledger gives every key its burst again."""

    def refresh(self, now: int) -> None:
        self._entries, self._read_at = None, None
        super().refresh(now)


@pytest.mark.parametrize(("keyring", "expected"), [(Keyring, 20), (ForgetfulKeyring, 40)])
def test_a_change_of_other_keys_gives_no_fresh_burst(keyring: type[Keyring], expected: int) -> None:
    issued = Issued(rate_per_minute=120, keyring=keyring)
    found = issued.granted(50)
    issued.ledger.add_key(mint("admin", NOW)[0])
    issued.keyring.refresh(NOW + SECOND)
    found += issued.granted(50)
    assert found == expected


@pytest.mark.parametrize(("rate", "workers", "burst"), [(600, 2, 50), (60, 1, 10), (6, 1, 1), (1, 64, 1)])
def test_a_burst_is_ten_seconds_of_a_workers_share_and_at_least_one(rate: int, workers: int, burst: int) -> None:
    assert Issued(rate_per_minute=rate, workers=workers).granted(100) == burst


def test_over_time_all_workers_together_grant_the_rate() -> None:
    workers = [Issued(rate_per_minute=120, workers=2) for _ in range(2)]
    minutes = 5
    found = sum(worker.granted(1, NOW + step * SECOND // 10) for step in range(minutes * 600) for worker in workers)
    assert 120 * minutes <= found <= 120 * minutes + 20


def test_the_refusal_says_when_there_is_another_request() -> None:
    issued = Issued(rate_per_minute=6)
    issued.check()
    with pytest.raises(RateExceeded, match="6 requests a minute and has none left; wait 10 s") as caught:
        issued.check()
    assert caught.value.retry_after_seconds == 10
    with pytest.raises(RateExceeded):
        issued.check(now=NOW + 9 * SECOND)
    assert issued.check(now=NOW + 10 * SECOND) == issued.key.id


def test_a_wait_is_never_less_than_a_whole_second() -> None:
    issued = Issued(rate_per_minute=600)
    issued.granted(100)
    found = refusal(issued.check)
    assert isinstance(found, RateExceeded)
    assert found.retry_after_seconds == 1


class TrustingBucket(Bucket):
    """Broken: takes the clock's word for how much time has passed."""

    def take(self, now: int) -> int:
        if self._at is not None and now < self._at:
            self._stored -= (self._at - now) * self._rate
        return super().take(now)


@pytest.mark.parametrize(("bucket", "expected"), [(Bucket, 0), (TrustingBucket, 3592 * SECOND)])
def test_a_clock_set_back_locks_nobody_out(bucket: type[Bucket], expected: int) -> None:
    tried = bucket(60, 1)
    tried.take(NOW)
    assert tried.take(NOW - 3600 * SECOND) == expected


def test_a_request_beyond_the_scope_costs_nothing() -> None:
    issued = Issued(rate_per_minute=6)
    for _ in range(5):
        with pytest.raises(ScopeTooSmall):
            issued.check("feedback")
    assert issued.check() == issued.key.id


def test_a_check_is_quick_enough_for_every_request() -> None:
    issued = Issued(rate_per_minute=10**9)
    assert min(timeit.repeat(issued.check, number=100, repeat=20)) / 100 < 20e-6


KEY = b"ek_x.y"
HEADERS: dict[str, tuple[dict[bytes, bytes], bytes | None]] = {
    "nothing": ({b"host": b"x"}, None),
    "bearer": ({b"authorization": b"Bearer ek_x.y"}, KEY),
    "any case": ({b"authorization": b"bEARER  ek_x.y "}, KEY),
    "own header": ({b"x-api-key": b" ek_x.y"}, KEY),
    "both alike": ({b"x-api-key": KEY, b"authorization": b"Bearer ek_x.y"}, KEY),
    "two that differ": ({b"x-api-key": KEY, b"authorization": b"Bearer ek_z.y"}, None),
    "beside a proxy's own": ({b"x-api-key": KEY, b"authorization": b"Basic dTpw"}, KEY),
    "another scheme": ({b"authorization": b"Basic ek_x.y"}, None),
    "no scheme": ({b"authorization": KEY}, None),
    "no key": ({b"authorization": b"Bearer "}, None),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_key_is_shown_in_either_header(case: str) -> None:
    headers, expected = HEADERS[case]
    assert shown_key(headers) == expected


def route(scope: Literal["open", "read", "predict", "feedback"]) -> Route:
    async def handle(_: Request) -> Response:
        raise AssertionError("only its scope is looked at")

    return Route("GET", "/", handle, "other", scope, Operation("."), native_error)


def refused(issued: Issued, headers: dict[bytes, bytes], need: Need) -> tuple[int, str, dict[bytes, bytes]]:
    """Status, code and headers of a refusal."""
    with pytest.raises(Refused) as caught:
        KeyCheck(issued.keyring, ManualClock(NOW)).check(headers, route(need))
    return caught.value.status, caught.value.code, dict(caught.value.headers)


def test_a_route_that_is_open_asks_for_nothing_and_the_others_name_the_key() -> None:
    issued = Issued()
    asked = KeyCheck(issued.keyring, ManualClock(NOW))
    headers = {b"x-api-key": issued.text.encode()}
    assert asked.check({}, route("open")) is None
    assert asked.check(headers, route("open")) is None
    assert asked.check(headers, route("predict")) == asked.check(headers, route("read")) == issued.key.id


def test_each_refusal_has_its_status_and_says_what_to_do() -> None:
    issued = Issued(rate_per_minute=6)
    headers = {b"authorization": b"Bearer " + issued.text.encode()}
    assert refused(issued, {}, "read") == (401, "unauthenticated", {b"www-authenticate": b"Bearer"})
    assert refused(issued, headers, "feedback") == (403, "scope_too_small", {})
    issued.check()
    assert refused(issued, headers, "predict") == (429, "rate_exceeded", {b"retry-after": b"10"})
