"""Makes one serving process in memory: a follower over real stores, a plane, and the gate in front of its routes."""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import httpx
from prometheus_client import Counter
from starlette.applications import Starlette
from starlette.requests import Request as FrameworkRequest
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from lifecycle.clock import ManualClock
from lifecycle.contract import Column, Columns, Contract, SetAside, Treatment
from lifecycle.errors import ProjectInvalid, StoreUnavailable
from lifecycle.feature_log.memory import MemoryFeatureLog
from lifecycle.ledger.sql import SqlLedger
from lifecycle.model_store import LocalModelStore
from lifecycle.ports import Runtime
from lifecycle.pseudonyms import Pseudonyms
from lifecycle.records import ModelVersion, Pointer
from service import openapi
from service.exchange import Request
from service.gate import Gate, Keys
from service.live import Follower
from service.metrics import ServiceMetrics
from service.plane import Answers, DataPlane, Limits
from service.protocols.own import OwnRoutes
from service.protocols.registry import BUILT_IN, adapters
from service.routing import Routes
from tests import builders

BODY_LIMIT = 2_000
LIMITS = Limits(body_bytes=BODY_LIMIT, rows=20, waiting=4, deadline_seconds=5)
ROW = {"a": 1.0, "b": 0.5}
KEY = bytes(range(32))


class Published(NamedTuple):
    """A folder of version folders, and their entries."""

    root: Path
    versions: Sequence[ModelVersion]


def publish(root: Path, task: str = "binary", count: int = 2) -> Published:
    """Real, tiny versions 1 to `count`."""
    ledger, store = SqlLedger("sqlite://", root), LocalModelStore(root)
    return Published(root, [builders.registered(store, ledger, ManualClock(), task) for _ in range(count)])


class ShakyLedger(SqlLedger):
    """Cannot be read while `broken`; `looks` counts how often the pointer was asked for."""

    broken = False
    looks = 0

    def pointer(self) -> Pointer:
        self.looks += 1
        if self.broken:
            raise StoreUnavailable("the ledger in this test was told to fail; set `broken` to False")
        return super().pointer()


@dataclass
class SeesOnly:
    """A runtime that knows `names` alone, and keeps the other columns that it was given."""

    inner: Runtime
    names: Sequence[str]
    given: list[Columns] = field(default_factory=list)

    @property
    def inline_rows(self) -> int:
        return self.inner.inline_rows

    def predict(self, columns: Columns) -> tuple[list[Any], dict[str, list[float]]]:
        self.given.append({name: values for name, values in columns.items() if name not in self.names})
        return self.inner.predict({name: columns[name] for name in self.names})


class Worker:
    """The parts of one worker; nothing is live before `follow` or `promote`."""

    def __init__(
        self,
        folder: Path,
        published: Published,
        *,
        on_error: Literal["serve", "reject"] = "serve",
        follower: type[Follower] = Follower,
        plane: type[DataPlane] = DataPlane,
        ledger: str = "sqlite://",
        limits: Limits = LIMITS,
        log: MemoryFeatureLog | None = None,
        sampling_rate: float = 1.0,
        privacy: Mapping[str, Treatment] | None = None,
        columns: Sequence[Column] = (),
        key: bytes | None = KEY,
    ) -> None:
        shutil.copytree(published.root, folder / "models")
        self.ledger = ShakyLedger(ledger, folder)
        self.store = LocalModelStore(folder / "models")
        self.clock = ManualClock()
        self.log = log or MemoryFeatureLog()
        self._privacy, self._columns, self._key = privacy, columns, key
        self.metrics = ServiceMetrics()
        for version in published.versions:
            self.ledger.register(version)
        self.follower = follower(self.ledger, self.store, self.log, self.clock, self.metrics, 0.1)
        self.plane = plane(
            "houses",
            self.follower,
            self.log,
            self.metrics,
            self.clock,
            on_error=on_error,
            limits=limits,
            sampling_rate=sampling_rate,
            pseudonyms=self._pseudonyms,
        )
        self.body_limit_bytes = BODY_LIMIT
        self.keys: Keys | None = None
        own = OwnRoutes(self.plane, lambda: openapi.describe("houses", self.routes.all))
        made = [own, *adapters(("native", "arrow", *BUILT_IN), self.plane)]
        self.routes = Routes(route for adapter in made for route in adapter.routes())

    def version(self) -> int | None:
        """What the gate asks."""
        return self.follower.live.version if self.follower.live else None

    def flip(self, number: int) -> None:
        """Move the pointer without staging."""
        generation = self.ledger.pointer().generation
        self.ledger.flip(number, generation, "ann", "because", self.clock.now())

    def promote(self, number: int) -> None:
        """Move the pointer, and let the worker look."""
        self.flip(number)
        self.follower.follow()
        if self._privacy is not None:
            self._mark(self._privacy)

    def _mark(self, privacy: Mapping[str, Treatment]) -> None:
        """Go on as if the live version had been registered with an id column `key`, a column `who` and these marks."""
        live = self.follower.live
        assert live is not None, "nothing to mark is live"
        contract = live.model.contract
        fields = contract.model_dump() | {
            "columns": [*contract.columns, *self._columns],
            "set_aside": [SetAside(name=name, reason="is no feature") for name in ("key", "who")],
            "id": "key",
            "privacy": dict(privacy),
        }
        runtime = SeesOnly(live.model.runtime, contract.names)
        model = replace(live.model, contract=Contract.model_validate(fields), runtime=runtime)
        self.follower.live = replace(live, model=model)

    def _pseudonyms(self) -> Pseudonyms:
        if self._key is None:
            raise ProjectInvalid("there is no key in this test; restore it")
        return Pseudonyms(self._key)

    def damage(self, number: int) -> None:
        """Cut the last byte off the artefact of version `number`."""
        artefact = self.store.root / f"{number:06d}" / "model.skops"
        artefact.write_bytes(artefact.read_bytes()[:-1])

    def predict(self, *rows: object) -> Answers:
        """Ask the plane."""
        return asyncio.run(self.plane.predict(rows, request()))

    def ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Ask the gate, and the routes behind it."""
        return asyncio.run(through(Gate(framework(), self), method, path, **content))


def framework() -> Starlette:
    """Stands for what BentoML answers."""

    async def ready(_: FrameworkRequest) -> PlainTextResponse:
        return PlainTextResponse("\n")

    return Starlette(routes=[Route("/healthz", ready)])


def request(identifier: str = "r1") -> Request:
    """A request of the native protocol, as the gate makes it."""
    return Request(identifier, "native", b"", {}, {})


async def through(app: ASGIApp, method: str, path: str, **content: Any) -> httpx.Response:
    """One request to `app`."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        return await client.request(method, path, **content)


def count(counter: Counter, **labels: str) -> float:
    """What `counter` has counted under `labels`, added up over all others."""
    return sum(
        sample.value
        for metric in counter.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and labels.items() <= sample.labels.items()
    )
