"""Time-ordered identifiers (UUID version 7, RFC 9562): the first 48 bits are milliseconds, so ids sort by time."""

import os
import re
import time

_FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def uuid7(milliseconds: int | None = None) -> str:
    """A new identifier for this moment, or for `milliseconds` since 1970."""
    return uuid7s(1, milliseconds)[0]


def uuid7s(count: int, milliseconds: int | None = None) -> list[str]:
    """As many new identifiers."""
    at = f"{time.time_ns() // 1_000_000 if milliseconds is None else milliseconds & (1 << 48) - 1:012x}"
    begin = f"{at[:8]}-{at[8:]}-7"
    noise = _noise(20 * count)
    return [
        f"{begin}{noise[i : i + 3]}-{_VARIANT[noise[i + 3]]}{noise[i + 4 : i + 7]}-{noise[i + 7 : i + 19]}"
        for i in range(0, 20 * count, 20)
    ]


class _Noise:
    """Random hexadecimal digits of the system's, asked for many at a time: asking is most of what an identifier costs.

    No two calls get the same digits, in whatever thread: taking them is one step, and a child that was forked begins anew.
    """

    DIGITS = 20 * 512

    def __init__(self) -> None:
        self._pieces: list[str] = []
        os.register_at_fork(after_in_child=self._pieces.clear)

    def __call__(self, digits: int) -> str:
        if digits != 20:
            return os.urandom(digits // 2).hex()
        try:
            return self._pieces.pop()
        except IndexError:
            fresh = os.urandom(self.DIGITS // 2).hex()
            self._pieces += [fresh[at : at + 20] for at in range(20, self.DIGITS, 20)]
            return fresh[:20]


_noise = _Noise()


def is_uuid7(text: str) -> bool:
    """Whether `text` is an identifier this product could have made."""
    return _FORM.fullmatch(text) is not None


def milliseconds_of(identifier: str) -> int:
    """When `identifier` was made, in milliseconds since 1970."""
    return int(identifier[:8] + identifier[9:13], 16)


def lower_bound(milliseconds: int) -> str:
    """A text that sorts at or before every identifier made at `milliseconds` or later, and after all earlier ones."""
    return _dashed(f"{max(milliseconds, 0):012x}" + "0" * 20)


def _dashed(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
