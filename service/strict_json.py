"""Strict JSON: every body is read once, by orjson, and what other readers would read differently is refused.

Malformed bytes are `MalformedJson`. Well-formed bodies that are not safe to take, such as two equal keys in one object,
NaN, 1e999 or a thousand brackets, are `JsonRefused`, which names the place. The usual body costs a few cheap proofs that
nothing is wrong; when one fails, exact passes over the bytes decide, each linear in the body's length.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from gc import get_referents, is_tracked
from operator import countOf
from typing import Any, NoReturn

import numpy as np
import orjson

from lifecycle.errors import EvenkeelError, InputRejected, Problem

PLACED_BYTES = 2**18
"""Up to this length a refusal names its place; finding it takes a walk token by token, too slow for longer bodies."""
KEY_CHARACTERS = 100
PLACE_CHARACTERS = 300
_NUMERIC = bytes(ord("0") if chr(code) in "0123456789+-.eE" else code for code in range(256))
_SHORT_BYTES = 2_048
"""Below this, methods of `bytes` are quicker than starting numpy."""
_BEFORE_COLON = bytes(ord('"') if chr(code) in " \t\r\n" else code for code in range(256))
_COLON, _QUOTE, _BRACE, _BRACKET_BIT = (np.uint8(code) for code in (0x3A, 0x22, 0x7B, 0x20))  # [ and { differ in a bit
_HIGH_HALVES, _DIGITS = np.uint64(0xF0F0F0F0F0F0F0F0), np.uint64(0x3030303030303030)  # 0x30 to 0x3f: digits and a few
_count_nonzero = np.count_nonzero
_Codes = np.ndarray[Any, np.dtype[np.uint8]]
_NOT_NUMBERS = re.compile(r"(?:NaN|Infinity)\b")
_TOKEN = re.compile(
    r'"(?P<key>[^"\\]*(?:\\.[^"\\]*)*)"[ \t\r\n]*(?:(?P<colon>:)|(?P<text>))'
    r"|(?P<open>[\[{])|(?P<close>[\]}])|(?P<scalar>[^\s,:\"\[\]{}]+)"
)


class MalformedJson(EvenkeelError):
    """The bytes are not JSON; `line` and `column` count from 1."""

    def __init__(self, problem: str, line: int, column: int) -> None:
        super().__init__(f"the body is not valid JSON: {problem} at line {line}, column {column}")
        self.line, self.column = line, column


class JsonRefused(InputRejected):
    """The body is JSON of a kind that readers disagree on or choke on; `place` is a path such as `rows[3].age`."""

    def __init__(self, problem: str, place: str) -> None:
        super().__init__(f"{place}: {problem}", (Problem(None, place, problem),))
        self.place = place


@dataclass(frozen=True)
class JsonLimits:
    """How deep lists and objects may nest, how many keys an object may have, how long a number and how many of both there are.

    Lists and objects are counted before anything is made of them: each costs a hundred times the two bytes that ask for it.
    """

    depth: int = 32
    keys: int = 10_000
    number: int = 100
    containers: int = 200_000

    @cached_property
    def long_number(self) -> bytes:
        """What a body with a number beyond the limit contains once its numeric characters are all written as 0."""
        return b"0" * (self.number + 1)

    @cached_property
    def long_digits(self) -> bytes:
        """A part of the same that is quicker to look for.

        Besides digits a number holds at most a point, an e and two signs, which part the digits into three runs at most.
        """
        return b"0" * ((self.number - 3 + 2) // 3)

    @cached_property
    def long_words(self) -> tuple[bytes, bytes]:
        """A mark for each whole word of eight digits that such a number has in a row at least.

        The first is for a number that ends in the body's last, incomplete word, the second for any other.
        """
        digits = len(self.long_digits)
        return b"\x01" * max(0, (digits - 14) // 8), b"\x01" * max(0, (digits - 7) // 8)


LIMITS = JsonLimits()


def decode(body: bytes, limits: JsonLimits = LIMITS) -> Any:
    """The value that `body` holds, as orjson reads it: an integer beyond 64 bits is its nearest double.

    Raises MalformedJson, or JsonRefused for duplicate keys, NaN, infinities and what exceeds `limits`.
    """
    if len(body) > limits.containers and body.count(b"[") + body.count(b"{") > limits.containers:
        raise JsonRefused(
            f"there are more than {limits.containers} lists and objects; send fewer rows at a time", "the body"
        )
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        _refuse_unreadable(body, error, limits)
    # A body has one colon for each key that is written, so as many keys in the tree prove that none was written twice.
    if len(body) < _SHORT_BYTES:
        colons = body.count(b":")
        members = _members(tree, body, colons, limits)
        proven = (members == colons or members == body.translate(_BEFORE_COLON).count(b'":')) and (
            limits.long_digits not in body.translate(_NUMERIC)
        )
    else:
        codes = np.frombuffer(body, np.uint8)
        colons = int(_count_nonzero(codes == _COLON))
        members = _members(tree, body, colons, limits)
        proven = (members == colons or members == _colons_after_quotes(codes)) and not _has_long_number(body, limits)
    if not proven and not _holds(members, body, limits):
        _refuse(body.decode(), limits, _Fault())
    return tree


def _members(tree: Any, body: bytes, colons: int, limits: JsonLimits) -> int | None:
    """How many keys the objects of `tree` have, all together; None when a limit of nesting or keys is exceeded."""
    if type(tree) is dict and len(tree) == 1 and colons <= limits.keys and limits.depth >= 3:
        (rows,) = tree.values()
        # Python's garbage collector does not track objects that hold nothing but scalars: such rows nest no deeper.
        if type(rows) is list and not any(map(is_tracked, rows)):
            if len(rows) == 1 and type(rows[0]) is dict:
                return 1 + len(rows[0])
            if countOf(map(type, rows), dict) == len(rows):
                return sum(map(len, rows), 1)
    return _members_by_level(tree, _openers(body), colons, limits)


def _members_by_level(tree: Any, openers: int, colons: int, limits: JsonLimits) -> int | None:
    """The same for any tree; looks no deeper once it knows as many containers and keys as the body can have."""
    members = 0
    level = [tree] if type(tree) is dict or type(tree) is list else []
    known = len(level)
    for _ in range(limits.depth):
        if known < openers or members < colons:
            members += sum([len(item) for item in level if type(item) is dict])
        if members > limits.keys and any(type(item) is dict and len(item) > limits.keys for item in level):
            return None
        if known == openers:
            return members
        level = [item for item in get_referents(*level) if type(item) is dict or type(item) is list]
        known += len(level)
    return None if level else members


def _openers(body: bytes) -> int:
    if len(body) < _SHORT_BYTES:
        return body.count(b"[") + body.count(b"{")
    return int(_count_nonzero((np.frombuffer(body, np.uint8) | _BRACKET_BIT) == _BRACE))


def _colons_after_quotes(codes: _Codes) -> int:
    """At least as many as there are keys: colons after a quote or a space, or one of a few characters more."""
    return int(_count_nonzero((codes[1:] == _COLON) & (codes[:-1] <= _QUOTE)))


def _has_long_number(body: bytes, limits: JsonLimits) -> bool:
    """Whether a number, or something like it inside a string, is written too long."""
    at_end, before = limits.long_words
    if at_end:
        words = ((np.frombuffer(body, np.uint64, len(body) // 8) & _HIGH_HALVES) == _DIGITS).tobytes()
        if b"\x01" not in words or at_end not in words:
            return False
        if before not in words:
            body = body[-limits.number - 8 :]
    return limits.long_number in body.translate(_NUMERIC)


def _holds(members: int | None, body: bytes, limits: JsonLimits) -> bool:
    """The exact check, without what strings hold."""
    outside = _outside_strings(body)
    return members == outside.count(b":") and limits.long_number not in outside.translate(_NUMERIC)


def _outside_strings(body: bytes) -> bytes:
    """Well-formed `body` without what its strings hold."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(body.split(b'"')[::2])


@dataclass(frozen=True)
class _Fault:
    """What orjson stumbled on: the character at which it did, and the problem that this is."""

    at: int = -1
    problem: str = ""


def _refuse_unreadable(body: bytes, error: orjson.JSONDecodeError, limits: JsonLimits) -> NoReturn:
    try:
        text = body.decode()
    except UnicodeDecodeError as cause:
        before = body[: cause.start]
        line, column = before.count(b"\n") + 1, cause.start - before.rfind(b"\n")
        raise MalformedJson("a byte that is not UTF-8", line, column) from cause
    word = _NOT_NUMBERS.match(text, error.pos)
    if word and ("expected a JSON value" in error.msg or "after sign" in error.msg):
        _refuse(text, limits, _Fault(error.pos, f"{word.group()} is not a number in JSON; send null"), error)
    if "infinity" in error.msg:
        _refuse(text, limits, _Fault(error.pos, "the number is out of range; send one that a double can hold"), error)
    if "depth" in error.msg:
        _refuse(text, limits, _Fault(error.pos, _too_deep(limits)), error)
    raise MalformedJson(error.msg, error.lineno, error.colno) from error


def _refuse(text: str, limits: JsonLimits, fault: _Fault, cause: Exception | None = None) -> NoReturn:
    if len(text) > PLACED_BYTES:
        problem = fault.problem or "a key stands twice in one object, or a limit of nesting, keys or digits is exceeded"
        raise JsonRefused(f"{problem} (somewhere: the body is too long to say where)", "the body") from cause
    problem, place = next(_problems(text, limits, fault))
    raise JsonRefused(problem, place) from cause


@dataclass
class _Container:
    """One list or object that is open at a point of the text; `step` is the index or key reached."""

    keys: set[str] | None
    step: Any = -1


def _problems(text: str, limits: JsonLimits, fault: _Fault) -> Iterator[tuple[str, str]]:
    """Everything wrong in `text`, in its order: the problem and the place; `text` is well-formed up to `fault`."""
    containers: list[_Container] = []
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "close":
            containers.pop()
        elif kind == "colon":
            problem = _key_problem(containers[-1], _unescaped(token["key"]), limits)
            if problem:
                yield problem, _place(containers)
        else:
            if containers and containers[-1].keys is None:
                containers[-1].step += 1
            if fault.problem and token.end() > fault.at:
                yield fault.problem, _place(containers)
            if kind == "scalar" and token.end() - token.start() > limits.number:
                yield f"the number is written with more than {limits.number} characters; round it", _place(containers)
            if kind == "open":
                if len(containers) == limits.depth:
                    yield _too_deep(limits), _place(containers)
                containers.append(_Container(set() if token.group() == "{" else None))
    raise AssertionError("the quick look found a problem that the walk did not; they must agree")


def _key_problem(within: _Container, key: str, limits: JsonLimits) -> str | None:
    assert within.keys is not None
    within.step = key
    if key in within.keys:
        return "the key stands twice in one object; send each key once"
    within.keys.add(key)
    return f"the object has more than {limits.keys} keys; send fewer" if len(within.keys) > limits.keys else None


def _too_deep(limits: JsonLimits) -> str:
    return f"lists and objects nest deeper than {limits.depth} levels"


def _unescaped(key: str) -> str:
    return str(orjson.loads(f'"{key}"')) if "\\" in key else key


def _place(containers: list[_Container]) -> str:
    """The path to the value that `containers` have reached, at most PLACE_CHARACTERS long."""
    path = "".join(_step(container.step) for container in containers).removeprefix(".") or "the body"
    half = PLACE_CHARACTERS // 2
    return path if len(path) <= PLACE_CHARACTERS else f"{path[:half]}…{path[1 - half :]}"


def _step(step: Any) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    cut = step if len(step) <= KEY_CHARACTERS else step[: KEY_CHARACTERS - 1] + "…"
    return f".{cut}"
