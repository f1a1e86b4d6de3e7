"""Requests that nobody would write, and what is wrong with the answers to them.

`generated` makes requests from the service's own description, with schemathesis; `damaged` breaks the bytes of valid
ones. Equal seeds make equal requests.
"""

import itertools
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
import hypothesis
import schemathesis
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.core import NotSet
from schemathesis.core.result import Err

from service.exchange import JSON
from service.protocols import schemas
from service.protocols.arrow import ARROW
from tests.behaviour.asking import MARKER, Asked, Document, valid_requests
from tests.behaviour.judging import Judge, ask
from tests.behaviour.project import RunningProject, rows

WORKER = ("-m", "_bentoml_impl.worker.service")
ANSWER_SECONDS = 30.0
"""How long an answer is waited for, so that one that is late can be told from one that never comes."""
ODD_HEADERS: Sequence[Document] = (
    *({"accept": value} for value in ("", "text/csv", "application/jsonlines;q=0.1", ARROW, f"{MARKER};q=x,,;;q=-1")),
    *({"inference-header-content-length": value} for value in ("0", "-1", "1", "9" * 30, "1.5", MARKER)),
    *({"content-encoding": value} for value in ("gzip", MARKER)),
    *({"content-type": value} for value in ("", MARKER, "application/json; charset=utf-16", "text/csv")),
    {"x-request-id": f"{MARKER} is none"},
)
GeneratedCase = Case[Any]
Operation = APIOperation[Any, Any, Any, Any]
BATCH = 12
"""Requests that one round makes for an operation with a body, of valid and of invalid content."""
KINDS: Document = {
    "numeric": {"type": "number"},
    "integer": {"type": "integer", "minimum": -(2**53), "maximum": 2**53},
    "boolean": {"type": "boolean"},
    "categorical": {"type": "string"},
    "datetime": {"type": "string", "format": "date"},
}
SWOLLEN_BYTES = 200_000
SWELLING = (
    (b"", b'\\"'),
    (b'NaN,"', b'\\"'),
    (b'"', b"\\u0000"),
    (b"", b"["),
    (b"", b'{"a":'),
    (b"", b"9"),
    (b"0.", b"0"),
    (b"", b"NaN,"),
    (b"", b'"",'),
    (b"", b"\n"),
)
"""What begins, and what is repeated behind it."""


@dataclass(frozen=True)
class Standing:
    """The processes that serve, and what they answer to a normal request."""

    workers: set[int]
    answers: Sequence[Document]


def differences(before: Standing, after: Standing, log: str) -> list[str]:
    """What is not as it was, or is in the log and should not be."""
    said = []
    if before.workers != after.workers:
        said.append(f"the workers were {sorted(before.workers)} and are {sorted(after.workers)}")
    if list(before.answers) != list(after.answers):
        said.append(f"a normal request was answered {before.answers} and is answered {after.answers}")
    said += [f"a client's text is in the log: {line}" for line in log.splitlines() if MARKER in line]
    return said


@dataclass
class Fuzz:
    """A running service under fire: what it describes, and everything found wrong so far."""

    running: RunningProject
    http: httpx.Client
    description: Document
    model: Document
    sent: int = 0
    slowest: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def of(cls, running: RunningProject) -> Iterator[Self]:
        """The fuzz of `running`; afterwards the service must be as it was before, or that is a problem too."""
        with httpx.Client(base_url=running.service_url, timeout=ANSWER_SECONDS) as http:
            fuzz = cls(running, http, running.get("/docs.json"), running.get("/model"))
            before = fuzz._standing()
            yield fuzz
            fuzz.problems += differences(before, fuzz._standing(), running.log.read_text(errors="replace"))

    def valid(self) -> list[Asked]:
        """Requests that the service answers, or takes, as they are."""
        return valid_requests(self.description, self.model, rows(4))

    def generate(self, count: int, seed: int) -> None:
        """Send `count` generated requests."""
        self.send(generated(informed(self.description, self.model), count, seed))

    def damage(self, count: int, seed: int) -> None:
        """Send `count` valid requests with broken bodies."""
        self.send(damaged(self.valid(), count, seed))

    def send(self, requests: Iterable[Asked]) -> None:
        """Send `requests`, and keep what is wrong with their answers, each with the request to repeat."""
        judge = Judge(self.description)
        for asked in requests:
            told = ask(self.http, asked)
            self.sent += 1
            self.slowest = max(self.slowest, told.seconds)
            self.statuses[told.status] = self.statuses.get(told.status, 0) + 1
            self.problems += [f"{said}; {asked.curl()}" for said in judge.objections(asked, told)]

    def _standing(self) -> Standing:
        url = f"{self.running.service_url}/predict"
        response = httpx.post(
            url, json={"rows": rows(8)}, timeout=ANSWER_SECONDS
        ).raise_for_status()  # a new connection
        answers = [{**row, "id": None} for row in response.json()["predictions"]]
        return Standing({process.pid for process in self.running.running(*WORKER)}, answers)


def informed(description: Document, model: Document) -> dict[str, Any]:
    """The description with what GET /model tells: without names of features and versions few requests get far."""
    columns = model["contract"]["columns"]
    row = schemas.fields({column["name"]: KINDS[column["kind"]] for column in columns})
    row["additionalProperties"] = False
    known = {"version": str(model["version"]), "label": "champion"}

    def with_names(node: Any) -> Any:
        if node == schemas.ROW:
            return {"anyOf": [schemas.ROW, row, row]}
        if isinstance(node, list):
            return [with_names(item) for item in node]
        if not isinstance(node, dict):
            return node
        if node.get("in") == "path" and node["name"] in known:
            one = {"type": "string", "enum": [known[node["name"]]]}
            return node | {"schema": {"anyOf": [one, one, node["schema"]]}}
        return {name: with_names(value) for name, value in node.items()}

    found: dict[str, Any] = with_names(description)
    return found


def generated(description: Document, count: int, seed: int) -> Iterator[Asked]:
    """`count` requests over all operations: valid and invalid content by the description, most of it with a marker."""
    found: list[Operation] = []
    for result in schemathesis.openapi.from_dict(dict(description)).get_all_operations():
        if isinstance(result, Err):
            raise result.err()
        found.append(result.ok())
    return itertools.islice(_rounds(found, random.Random(seed)), count)


def _rounds(operations: Sequence[Operation], turns: random.Random) -> Iterator[Asked]:
    """Every operation once, then again and again those of which there are several requests."""
    while operations:
        for operation in operations:
            many = BATCH if operation.body else 1
            modes = GenerationMode if operation.body or operation.path_parameters else [GenerationMode.POSITIVE]
            for mode in modes:
                for case in _cases(operation, mode, many, turns.getrandbits(64)):
                    yield _asked(case, marked=turns.random() < 0.5)
        operations = [operation for operation in operations if operation.body or operation.path_parameters]


def _cases(operation: Operation, mode: GenerationMode, count: int, seed: int) -> Sequence[GeneratedCase]:
    found: list[GeneratedCase] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(operation.as_strategy(generation_mode=mode))
    def collect(case: GeneratedCase) -> None:
        found.append(case)

    collect()
    return found


def _asked(case: GeneratedCase, *, marked: bool) -> Asked:
    headers = {"user-agent": MARKER}
    if case.media_type:
        headers["content-type"] = case.media_type
    url = f"{case.formatted_path}?{MARKER}" if marked else case.formatted_path
    return Asked(case.method, case.path, url, headers, _content(case, marked=marked))


def _content(case: GeneratedCase, *, marked: bool) -> bytes | None:
    body = case.body
    if isinstance(body, NotSet):
        return None
    body = getattr(body, "data", body)  # of binary content
    if isinstance(body, bytes):
        return body
    if isinstance(body, str) and case.media_type != JSON:
        return body.encode(errors="surrogatepass")
    return json.dumps(_marked(body) if marked else body).encode()


def _marked(value: Any) -> Any:
    """`value` with the marker in each text, and among the fields of each object."""
    if isinstance(value, str):
        return MARKER + value
    if isinstance(value, list):
        return [_marked(item) for item in value]
    if isinstance(value, dict):
        return {name: _marked(item) for name, item in value.items()} | {MARKER: MARKER}
    return value


def damaged(valid: Sequence[Asked], count: int, seed: int) -> Iterator[Asked]:
    """`count` requests whose bodies are those of `valid`, each broken in one of several ways, in turn."""
    turns = random.Random(seed)
    ways = itertools.cycle(itertools.product(DAMAGES, valid))
    for damage, asked in itertools.islice(ways, count):
        assert asked.content is not None, "a request whose body is to be damaged has one"
        headers = {**asked.headers, **turns.choice(ODD_HEADERS)} if turns.random() < 0.2 else asked.headers
        yield Asked(asked.method, asked.path, asked.url, headers, damage(asked.content, turns))


def _truncated(content: bytes, turns: random.Random) -> bytes:
    return content[: turns.randrange(len(content))]


def _flipped(content: bytes, turns: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(turns.choice((1, 1, 1, 2, 8, 64))):
        changed[turns.randrange(len(changed))] ^= 1 << turns.randrange(8)
    return bytes(changed)


def _inserted(content: bytes, turns: random.Random) -> bytes:
    at = turns.randrange(len(content) + 1)
    text = turns.choice((MARKER.encode(), b"\n", b"\0", b"\xff\xfe", b"\xed\xa0\x80", b'"', b"\\", turns.randbytes(8)))
    return content[:at] + text + content[at:]


def _left_out(content: bytes, turns: random.Random) -> bytes:
    start = turns.randrange(len(content))
    return content[:start] + content[start + turns.randrange(1, 32) :]


def _twice(content: bytes, turns: random.Random) -> bytes:
    """All of it twice, or a part of it where it stands."""
    start = turns.randrange(len(content))
    end = turns.randrange(start, len(content))
    return content * 2 if turns.random() < 0.2 else content[:end] + content[start:]


def _swelled(content: bytes, turns: random.Random) -> bytes:
    """A few bytes in it as often as a large body allows: what takes the square of the length shows."""
    start = turns.randrange(len(content))
    opening, part = turns.choice((*SWELLING, (b"", content[start : start + turns.randrange(1, 9)])))
    rest = content[start:] if turns.random() < 0.5 else b""
    return content[:start] + opening + part * (SWOLLEN_BYTES // len(part)) + rest


def _replaced(content: bytes, turns: random.Random) -> bytes:
    """A number, or four bytes, become an extreme one."""
    numbers = list(re.finditer(rb"-?\d+(?:\.\d+)?", content))
    extreme = turns.choice(
        (b"-1", b"0", b"1e999", b"-0.0", b"NaN", b"null", b"9" * 400, b"18446744073709551616", b"2147483648")
    )
    if numbers and turns.random() < 0.5:
        number = turns.choice(numbers)
        return content[: number.start()] + extreme + content[number.end() :]
    at = turns.randrange(len(content))
    return (
        content[:at]
        + turns.choice((b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\x80"))
        + content[at + 4 :]
    )


DAMAGES: Sequence[Callable[[bytes, random.Random], bytes]] = (
    _truncated,
    _flipped,
    _inserted,
    _left_out,
    _twice,
    _swelled,
    _replaced,
)
