"""A service is open to others only when somebody said so."""

from pathlib import Path

import pytest

from lifecycle.config import ServiceSection
from lifecycle.errors import ConfigInvalid
from lifecycle.keys import mint
from lifecycle.ledger.sql import SqlLedger
from lifecycle.ports import KeyLedger
from service.access import ENVIRONMENT, admit, decide, is_keyed, is_loopback

NOW = 1_700_000_000_000_000
EXPECTED = {
    # setting, --insecure, a usable key: on a loopback address, on another
    ("auto", False, False): ("open", "refused"),
    ("auto", False, True): ("open", "keyed"),
    ("auto", True, False): ("open", "open"),
    ("auto", True, True): ("open", "keyed"),
    ("required", False, False): ("keyed", "refused"),
    ("required", False, True): ("keyed", "keyed"),
    ("required", True, False): ("keyed", "keyed"),
    ("required", True, True): ("keyed", "keyed"),
    ("off", False, False): ("open", "refused"),
    ("off", False, True): ("open", "refused"),
    ("off", True, False): ("open", "open"),
    ("off", True, True): ("open", "open"),
}


@pytest.mark.parametrize("case", EXPECTED, ids=str)
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_decision_for_every_case(case: tuple[str, bool, bool], host: str) -> None:
    setting, insecure, has_key = case
    section = ServiceSection.model_validate({"keys": setting})
    found = decide(host, section.keys, insecure=insecure, has_key=lambda: has_key)
    assert found.state == EXPECTED[case][host != "127.0.0.1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LocalHost"])
def test_a_loopback_address_is_one(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "10.0.0.5", "192.168.1.1", "localhost.example", "127.1", "0", "::ffff:10.0.0.5"]
)
def test_whatever_others_may_reach_is_not(host: str) -> None:
    assert not is_loopback(host)


def test_the_refusal_names_the_way_out() -> None:
    found = decide("0.0.0.0", "auto", insecure=False, has_key=lambda: False)
    for words in ("'0.0.0.0'", "no usable API key", "`evenkeel keys create --scope predict`", "--insecure"):
        assert words in str(found.sentence)
    off = decide("0.0.0.0", "off", insecure=False, has_key=lambda: True)
    assert "[service] keys is off; set it to" in str(off.sentence)


def test_an_open_service_on_any_other_address_comes_with_a_warning() -> None:
    risky = decide("0.0.0.0", "auto", insecure=True, has_key=lambda: False)
    assert risky.sentence == "anybody who reaches '0.0.0.0' can call the service: it asks for no key"
    assert decide("127.0.0.1", "off", insecure=True, has_key=lambda: False).sentence is None


def test_keys_that_are_revoked_or_expired_do_not_admit(tmp_path: Path) -> None:
    ledger = SqlLedger("sqlite://", tmp_path)
    section = ServiceSection(host="0.0.0.0")
    revoked, _ = mint("predict", NOW)
    expired, _ = mint("predict", NOW, expires_days=1)
    later = expired.expires_at or 0
    for key in (revoked, expired):
        ledger.add_key(key)
    ledger.revoke_key(revoked.id, NOW)
    assert admit(section, lambda: ledger, later - 1, insecure=False).state == "keyed"
    with pytest.raises(ConfigInvalid, match="no usable API key"):
        admit(section, lambda: ledger, later, insecure=False)
    ledger.close()


def test_on_a_loopback_address_the_ledger_is_not_opened() -> None:
    def unreachable() -> KeyLedger:
        raise AssertionError("it was opened")

    assert admit(ServiceSection(), unreachable, NOW, insecure=False).state == "open"


def test_workers_that_were_told_nothing_ask_for_keys() -> None:
    assert is_keyed({})
    assert is_keyed({ENVIRONMENT: "keyed"})
    assert is_keyed({ENVIRONMENT: "OPEN"})
    assert not is_keyed({ENVIRONMENT: "open"})
