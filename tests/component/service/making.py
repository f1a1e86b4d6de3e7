"""Makes one serving process in memory: a follower over real stores, a plane, and the gate in front of its routes."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import httpx
from prometheus_client import Counter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from lifecycle.clock import ManualClock
from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log.memory import MemoryFeatureLog
from lifecycle.ledger.sql import SqlLedger
from lifecycle.model_store import LocalModelStore
from lifecycle.records import ModelVersion, Pointer
from service.gate import Gate
from service.live import Follower
from service.metrics import ServiceMetrics
from service.native import NativeProtocol, application
from service.plane import Answers, DataPlane
from tests import builders

BODY_LIMIT = 2_000
ROWS_LIMIT = 20
ROW = {"a": 1.0, "b": 0.5}


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
    ) -> None:
        shutil.copytree(published.root, folder / "models")
        self.ledger = ShakyLedger(ledger, folder)
        self.store = LocalModelStore(folder / "models")
        self.clock = ManualClock()
        self.log = MemoryFeatureLog()
        self.metrics = ServiceMetrics()
        for version in published.versions:
            self.ledger.register(version)
        self.follower = follower(self.ledger, self.store, self.log, self.clock, self.metrics, 0.1)
        self.plane = plane("houses", self.follower, self.log, self.metrics, self.clock, on_error)
        self.body_limit_bytes = BODY_LIMIT
        self.native = NativeProtocol(self.plane, ROWS_LIMIT)

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

    def damage(self, number: int) -> None:
        """Cut the last byte off the artefact of version `number`."""
        artefact = self.store.root / f"{number:06d}" / "model.skops"
        artefact.write_bytes(artefact.read_bytes()[:-1])

    def predict(self, *rows: object) -> Answers:
        """Ask the plane."""
        return asyncio.run(self.plane.predict(rows, request_id="r1", protocol="native"))

    def ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Ask the gate, and the routes behind it."""
        return asyncio.run(through(Gate(self.routes(), self), method, path, **content))

    def routes(self) -> Starlette:
        """The routes as the product has them; `/predict` is BentoML's there."""

        async def predict(_: Request) -> Response:
            return await self.native.predict()

        inner = application(lambda: self.native)
        return Starlette(routes=[Route("/predict", predict, methods=["POST"]), Mount("/", inner)])


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
