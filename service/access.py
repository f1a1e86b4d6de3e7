"""Whether a service asks its callers for keys, and whether it may listen at all.

An open service on an address that others can reach is never an accident: it takes `--insecure`.
"""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from lifecycle.config import ServiceSection
from lifecycle.errors import ConfigInvalid
from lifecycle.keys import usable
from lifecycle.ports import KeyLedger

ENVIRONMENT = "EVENKEEL_ACCESS"
"""Carries the decision from the process that starts the workers to the workers."""


@dataclass(frozen=True)
class Access:
    """The decision: `open` to everybody, `keyed`, or `refused`; `sentence` says why it is refused, or what is risked."""

    state: Literal["open", "keyed", "refused"]
    sentence: str | None = None


def decide(
    host: str, setting: Literal["auto", "required", "off"], *, insecure: bool, has_key: Callable[[], bool]
) -> Access:
    """Whether a service on `host` asks for keys. `has_key` (is there a usable one?) is asked only when it matters.

    `insecure` opens what would be refused; it takes no lock off a service that has keys or requires them.
    """
    if is_loopback(host):
        return Access("keyed" if setting == "required" else "open")
    if setting != "off" and has_key():
        return Access("keyed")
    if insecure and setting == "required":
        return Access("keyed")
    if insecure:
        return Access("open", f"anybody who reaches {host!r} can call the service: it asks for no key")
    lack = "[service] keys is off" if setting == "off" else "there is no usable API key"
    first = 'set it to "auto" and make a key' if setting == "off" else "make one"
    return Access(
        "refused",
        f"the service is to listen on {host!r}, where others reach it, and {lack}; {first} with "
        "`evenkeel keys create --scope predict`, listen on 127.0.0.1, or let anybody in with --insecure",
    )


def admit(section: ServiceSection, ledger: Callable[[], KeyLedger], now: int, *, insecure: bool) -> Access:
    """The decision for a service that is to start, `open` or `keyed`. Raises ConfigInvalid where it is `refused`.

    The ledger is opened only where the decision turns on it.
    """
    access = decide(
        section.host,
        section.keys,
        insecure=insecure,
        has_key=lambda: any(usable(key, now) for key in ledger().api_keys()),
    )
    if access.state == "refused":
        raise ConfigInvalid(str(access.sentence))
    return access


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`. A name other than localhost counts as an address others reach."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_keyed(environment: Mapping[str, str]) -> bool:
    """Whether a worker asks for keys; it does when nobody decided, as in a server that was started some other way."""
    return environment.get(ENVIRONMENT) != "open"
