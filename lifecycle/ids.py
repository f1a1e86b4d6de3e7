"""Time-ordered identifiers (UUID version 7, RFC 9562): the first 48 bits are milliseconds, so ids sort by time."""

import os
import re
import time

_FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def uuid7(milliseconds: int | None = None) -> str:
    """A new identifier for this moment, or for `milliseconds` since 1970."""
    at = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    value = (at & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return _dashed(f"{value:032x}")


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
