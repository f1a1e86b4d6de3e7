"""Pseudonyms: what stands in the log for a value that must not be there. A keyed hash, so who has the log alone cannot test a guess.

One key makes the same pseudonym for the same value for ever: it is made once, kept in a file outside the log, and never
replaced silently, because what was recorded under another key could never be joined, or erased, again.
"""

import os
import re
import secrets
import unicodedata
from hashlib import blake2b, sha256
from pathlib import Path

from lifecycle.errors import ProjectInvalid

PREFIX = "p_"
KEY_BYTES, DIGEST_BYTES = 32, 16
CHECK_DIGITS = 8
FORM = re.compile(rf"{PREFIX}[0-9a-f]{{{2 * DIGEST_BYTES}}}")
_VALUE, _SUBJECT, _CHECK = b"value", b"subject", b"check"


class Pseudonyms:
    """Makes pseudonyms under one key: `p_` and 32 hexadecimal digits.

    Texts that Unicode takes for the same, such as an accent written in one character or two, get the same. A subject's
    pseudonym is of another kind than that of the same text elsewhere, so that the two cannot be joined.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key of pseudonyms has {KEY_BYTES} bytes, not {len(key)}")
        self._value = blake2b(key=key, digest_size=DIGEST_BYTES, person=_VALUE)
        self._subject = blake2b(key=key, digest_size=DIGEST_BYTES, person=_SUBJECT)
        self.check = blake2b(key=key, digest_size=DIGEST_BYTES, person=_CHECK).hexdigest()
        """Tells this key from every other, and tells nothing about it: a contract keeps it."""

    @classmethod
    def read(cls, path: Path, check: str | None = None) -> "Pseudonyms":
        """Those of the key in `path`. Raises ProjectInvalid when there is none, it is no key, or not the one of `check`."""
        try:
            text = path.read_text(encoding="ascii")
        except FileNotFoundError as error:
            raise ProjectInvalid(
                f"there is no key of pseudonyms at {path}; restore the file from its copy: under a new key nothing that was "
                "recorded before could be joined, or erased, again"
            ) from error
        except (OSError, ValueError) as error:
            raise ProjectInvalid(
                f"the key of pseudonyms at {path} cannot be read ({type(error).__name__}); correct its permissions, or "
                "restore it from its copy"
            ) from error
        key, _, digits = text.strip().partition(" ")
        if not re.fullmatch(rf"[0-9a-f]{{{2 * KEY_BYTES}}}", key) or digits != _check(key):
            raise ProjectInvalid(
                f"{path} does not hold a key of pseudonyms as it was made, {2 * KEY_BYTES} hexadecimal digits and the first "
                f"{CHECK_DIGITS} of their SHA-256; restore it from its copy"
            )
        found = cls(bytes.fromhex(key))
        found.require(check)
        return found

    @classmethod
    def ensure(cls, path: Path) -> "Pseudonyms":
        """Those of the key in `path`, which is made when there is no such file: readable by its owner, and on disk."""
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                key = secrets.token_hex(KEY_BYTES)
                file.write(f"{key} {_check(key)}\n")
                file.flush()
                os.fsync(file.fileno())
            path.hardlink_to(made)  # whole or not at all, and never in place of one that is there
        except FileExistsError:
            pass  # it was there, or somebody else was first: theirs is the key
        finally:
            made.unlink()
        return cls.read(path)

    def require(self, check: str | None) -> None:
        """Raises ProjectInvalid unless `check`, a contract's `key_check`, is of this key; a contract without one takes any."""
        if check not in (None, self.check):
            raise ProjectInvalid(
                "the key of pseudonyms is not the one that the contract was made with, under which everything was recorded; "
                "restore the file that [feature_log] pseudonym_key names from its copy"
            )

    def of(self, text: str) -> str:
        """What stands for `text`, a value of a feature or a caller's own id."""
        return _digest(self._value, text)

    def subject(self, text: str) -> str:
        """What stands for the subject `text`, whom a row is about: what an erasure looks for."""
        return _digest(self._subject, text)


def _check(key: str) -> str:
    """A key with a wrong digit is a key too, under which nobody would be found."""
    return sha256(key.encode()).hexdigest()[:CHECK_DIGITS]


def _digest(state: blake2b, text: str) -> str:
    found = state.copy()
    usual = text if text.isascii() else unicodedata.normalize("NFC", text)
    found.update(usual.encode("utf-8", "surrogatepass"))
    return PREFIX + found.hexdigest()
