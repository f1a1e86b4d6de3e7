"""API keys: how one is made, what of it is kept, and when it is usable.

A key's text is `<id>.<secret>`. The id is public: it names the key in lists, records and the audit. The secret is shown
once, when the key is made; only its SHA-256 is kept.
"""

import hashlib
import secrets

from lifecycle.clock import MICROSECONDS
from lifecycle.errors import InputRejected
from lifecycle.records import Key, Scope

NAME_LENGTH = 60
_ID_BYTES = 9
_SECRET_BYTES = 32
_DAY_SECONDS = 86_400


def mint(
    scope: Scope,
    now: int,
    *,
    name: str | None = None,
    rate_per_minute: int | None = None,
    expires_days: int | None = None,
) -> tuple[Key, str]:
    """A new key, and its text, which exists nowhere else. Raises InputRejected for a name that cannot be shown."""
    if name is not None and not (0 < len(name) <= NAME_LENGTH and name.isprintable()):
        raise InputRejected(
            f"a key's name is 1 to {NAME_LENGTH} printable characters, and this one is not; choose another"
        )
    identifier = f"ek_{secrets.token_urlsafe(_ID_BYTES)}"
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    expires_at = None if expires_days is None else now + expires_days * _DAY_SECONDS * MICROSECONDS
    key = Key(
        id=identifier,
        scope=scope,
        secret_digest=digest(secret.encode()).hex(),
        created_at=now,
        name=name,
        expires_at=expires_at,
        rate_per_minute=rate_per_minute,
    )
    return key, f"{identifier}.{secret}"


def digest(secret: bytes) -> bytes:
    """What is kept of a secret.

    A slow hash makes guessable passwords costly to try. These secrets are 256 random bits: there is nothing to guess, and a
    slow hash would only cost each request its time.
    """
    return hashlib.sha256(secret).digest()


def usable(key: Key, now: int) -> bool:
    """Whether the key opens anything at `now`: it is neither revoked nor expired."""
    return key.revoked_at is None and (key.expires_at is None or now < key.expires_at)
