"""Time-ordered identifiers (UUID version 7, RFC 9562): the first 48 bits are milliseconds, so ids sort by time."""

import os
import re
import time

_FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def uuid7(milliseconds: int | None = None) -> str:
    """A new identifier for this moment, or for `milliseconds` since 1970."""
    return _moment(milliseconds) + _endings.take()


def uuid7s(count: int, milliseconds: int | None = None) -> list[str]:
    """As many new identifiers."""
    begin, take = _moment(milliseconds), _endings.take
    return [begin + take() for _ in range(count)]


def _moment(milliseconds: int | None) -> str:
    at = f"{time.time_ns() // 1_000_000 if milliseconds is None else milliseconds & (1 << 48) - 1:012x}"
    return f"{at[:8]}-{at[8:]}"


class _Endings:
    """The random ends of identifiers, made many at a time: asking the system is most of what an identifier costs.

    No two calls get the same one, in whatever thread: taking it is one step, and a child that was forked begins anew.
    """

    COUNT = 512

    def __init__(self) -> None:
        self._made: list[str] = []
        os.register_at_fork(after_in_child=self._made.clear)

    def take(self) -> str:
        try:
            return self._made.pop()
        except IndexError:
            noise = os.urandom(10 * self.COUNT).hex()
            last, *others = [_ending(noise[at : at + 20]) for at in range(0, len(noise), 20)]
            self._made += others
            return last


def _ending(noise: str) -> str:
    """Version 7 and the variant set in twenty random hexadecimal digits."""
    return f"-7{noise[:3]}-{_VARIANT[noise[3]]}{noise[4:7]}-{noise[7:19]}"


_endings = _Endings()


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
