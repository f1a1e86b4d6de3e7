"""The run: for each model, start every server, prove its answers right, measure cell by cell round the servers, end all.

Only the server being measured has work; the others are up and idle, so that each repeat meets the same machine.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.serving import environments, open_loop, processes, wrk
from benchmarks.serving.cases import BODIES, Case, Rows
from benchmarks.serving.entrants import Entrant, Place, Server
from benchmarks.serving.processes import Running
from benchmarks.serving.projects import make_artefact, make_project
from benchmarks.serving.proof import NotServed, prove
from benchmarks.serving.samples import ClosedSample, OpenSample, closed_cell, middle, rate_of

WARM_SECONDS = 1.0
ANSWER_SECONDS = 30.0
IDLE_SECONDS = 2.0
_FOLDERS = re.compile(r"/(?:[\w.@+-]+/)+")
Say = Callable[[str], object]


@dataclass(frozen=True)
class Plan:
    """What is to be measured."""

    cases: Sequence[Case]
    entrants: Sequence[Entrant]
    rows: Sequence[int]
    connections: Sequence[int]
    seconds: float
    repeats: int
    folder: Path
    """Where environments, projects and logs go."""


@dataclass
class Found:
    """What was measured, in the shape of the raw file."""

    closed: list[ClosedSample] = field(default_factory=list)
    open: list[OpenSample] = field(default_factory=list)
    servers: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)

    def fail(self, case: Case, name: str, reason: str) -> None:
        """Note that something of `name` could not be measured, without folders that are this machine's own."""
        self.failures.append({"model": case.name, "entrant": name, "reason": _FOLDERS.sub("", reason)})

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(plan: Plan, say: Say) -> Found:
    """Carry out the plan. What fails is noted under `failures`, and the rest goes on."""
    found = Found()
    programs = {
        entrant.server.name: environments.programs(entrant.server, plan.folder / "environments")
        for entrant in plan.entrants
    }
    for case in plan.cases:
        say(f"{case.title}: making the project and the model")
        with ExitStack() as running:
            _Round(plan, case, programs, found, say).run(running)
    return found


class _Round:
    """One model, all its servers."""

    def __init__(self, plan: Plan, case: Case, programs: dict[str, Path], found: Found, say: Say) -> None:
        self._plan = plan
        self._case = case
        self._programs = programs
        self._found = found
        self._say = say
        self._folder = plan.folder / "runs" / case.name
        self._places: dict[str, Place] = {}
        self._running: dict[str, Running] = {}
        self._bodies: dict[tuple[str, int], list[bytes]] = {}
        self._expected: list[int] = []
        self._http = httpx.Client(timeout=ANSWER_SECONDS)

    def run(self, running: ExitStack) -> None:
        running.enter_context(self._http)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        project, artefact = self._folder / "project", self._folder / "model.joblib"
        contract = make_project(self._case, project)
        self._expected = make_artefact(self._case, contract, artefact)
        for server in {entrant.server.name: entrant.server for entrant in self._plan.entrants}.values():
            self._start(server, project, artefact, running)
        ready = {(entrant.name, rows) for entrant, rows in self._pairs() if self._proven(entrant, rows)}
        self._idle()
        for rows in self._plan.rows:
            entrants = [entrant for entrant in self._plan.entrants if (entrant.name, rows) in ready]
            for connections in self._plan.connections:
                self._closed(entrants, rows, connections)
            self._opened(entrants, rows)
        for entry in self._found.servers:
            if entry["model"] == self._case.name:
                entry["processes"] = self._running[entry["server"]].memory()

    def _pairs(self) -> Iterator[tuple[Entrant, int]]:
        for entrant in self._plan.entrants:
            if entrant.server.name in self._running:
                yield from ((entrant, rows) for rows in self._plan.rows if not entrant.rows or rows in entrant.rows)

    def _start(self, server: Server, project: Path, artefact: Path, running: ExitStack) -> None:
        folder = self._folder / server.name.replace(" ", "-")
        folder.mkdir()
        programs = self._programs[server.name]
        place = Place(self._case, programs, folder, project, artefact, processes.free_ports())
        entrant = next(item for item in self._plan.entrants if item.server is server)
        body = next(iter(self._case.bodies(1)))
        try:
            server.prepare(place)
            process = Running(server.command(place), folder, processes.variables(programs, server.variables(place)))
            running.callback(process.end)
            seconds = process.wait(lambda: self._problem(place, entrant, entrant.body(body)))
        except Exception as error:  # noqa: BLE001 - whatever one server lacks, the others are measured
            self._found.fail(self._case, server.name, f"{type(error).__name__}: {error}")
            self._say(f"  {server.name} does not serve: {error}")
            return
        self._places[server.name] = place
        self._running[server.name] = process
        self._found.versions.setdefault(server.name, environments.versions(server, programs))
        self._found.servers.append({"model": self._case.name, "server": server.name, "ready_s": round(seconds, 2)})
        self._say(f"  {server.name} is ready after {seconds:.1f} s")

    def _proven(self, entrant: Entrant, rows: int) -> bool:
        """Whether every body is answered with scikit-learn's own labels; keeps the bodies for the load."""
        place = self._places[entrant.server.name]
        try:
            sent = list(self._case.bodies(rows))
            bodies = [entrant.body(item) for item in sent]
            for item, body in zip(sent, bodies, strict=True):
                self._prove(entrant, self._post(place, entrant, body), item)
        except (NotServed, httpx.HTTPError, ValueError, KeyError, TypeError, OSError) as error:
            self._found.fail(self._case, entrant.name, f"rows: {rows}: {type(error).__name__}: {str(error)[:300]}")
            self._say(f"  {entrant.name} is left out at {rows} rows: {str(error)[:200]}")
            return False
        self._bodies[entrant.name, rows] = bodies
        folder = self._body_folder(entrant, rows)
        folder.mkdir(parents=True)
        for number, body in enumerate(bodies):
            (folder / str(number)).write_bytes(body)
        return True

    def _prove(self, entrant: Entrant, answer: httpx.Response, sent: Rows) -> None:
        if not answer.is_success:
            raise NotServed(f"it answered {answer.status_code}: {answer.text[:200]}")
        if entrant.read is None:
            return
        prove(entrant.read(answer.content), [self._expected[position] for position in sent.positions])

    def _body_folder(self, entrant: Entrant, rows: int) -> Path:
        return self._folder / "bodies" / entrant.name.replace(" ", "-") / str(rows)

    def _closed(self, entrants: Sequence[Entrant], rows: int, connections: int) -> None:
        self._say(f"  rows: {rows}, connections: {connections}")
        for repeat in range(self._plan.repeats):
            for entrant in entrants:
                with self._noting(entrant, f"rows: {rows}, connections: {connections}"):
                    self._found.closed.append(self._closed_sample(entrant, rows, connections, repeat))

    def _closed_sample(self, entrant: Entrant, rows: int, connections: int, repeat: int) -> ClosedSample:
        url = f"http://127.0.0.1:{self._places[entrant.server.name].port}{entrant.path(self._case)}"
        folder = self._body_folder(entrant, rows)
        target = wrk.Target(url, folder, BODIES, entrant.content_type, entrant.accept)
        if repeat == 0:
            wrk.run(target, connections, WARM_SECONDS)
        measured = wrk.run(target, connections, self._plan.seconds)
        self._say(f"    {entrant.name:22s} {measured.requests_per_s:9.1f} requests/s  {measured.errors} errors")
        return ClosedSample(
            model=self._case.name,
            rows=rows,
            connections=connections,
            entrant=entrant.name,
            repeat=repeat,
            requests=measured.requests,
            requests_per_s=round(measured.requests_per_s, 2),
            latency_ms=measured.latency,
            errors=measured.errors,
        )

    def _opened(self, entrants: Sequence[Entrant], rows: int) -> None:
        self._say(f"  rows: {rows}, open loop")
        connections = max(self._plan.connections)
        for repeat in range(self._plan.repeats):
            for entrant in entrants:
                cell = closed_cell(self._found.closed, self._case.name, rows, connections, entrant.name)
                peak = middle(cell, rate_of)
                if not peak:
                    continue
                with self._noting(entrant, f"rows: {rows}, open loop"):
                    self._found.open.append(self._open_sample(entrant, rows, repeat, peak))

    @contextmanager
    def _noting(self, entrant: Entrant, load: str) -> Iterator[None]:
        """A measurement that cannot be made is noted, and the others go on."""
        try:
            yield
        except (wrk.LoadFailed, subprocess.TimeoutExpired, OSError) as error:
            self._found.fail(self._case, entrant.name, f"{load}: {error}")
            self._say(f"    {entrant.name} is not measured: {error}")

    def _open_sample(self, entrant: Entrant, rows: int, repeat: int, peak: float) -> OpenSample:
        place = self._places[entrant.server.name]
        rate = open_loop.allowed_rate(peak)
        requests = [
            open_loop.http_request(entrant.path(self._case), body, entrant.content_type, entrant.accept)
            for body in self._bodies[entrant.name, rows]
        ]
        moments = open_loop.arrivals(rate, self._plan.seconds, seed=repeat)
        measured = open_loop.run(place.port, requests, moments, rate)
        self._say(
            f"    {entrant.name:22s} at {rate:7.1f}/s: p50 {measured.latency.p50:.2f} ms, p99 {measured.latency.p99:.2f} ms, "
            f"client late {measured.late_p99_ms:.2f} ms, {measured.errors} errors"
        )
        return OpenSample(
            model=self._case.name,
            rows=rows,
            entrant=entrant.name,
            repeat=repeat,
            wanted_rate=round(peak / 2, 2),
            rate=round(rate, 2),
            requests=measured.requests,
            latency_ms=measured.latency,
            late_p99_ms=round(measured.late_p99_ms, 3),
            errors=measured.errors,
        )

    def _idle(self) -> None:
        """Note what each server takes of the processor while nobody asks it anything."""
        before = {name: process.cpu_seconds() for name, process in self._running.items()}
        time.sleep(IDLE_SECONDS)  # the length of a measurement, not a wait for something
        for entry in self._found.servers:
            if entry["model"] == self._case.name:
                used = self._running[entry["server"]].cpu_seconds() - before[entry["server"]]
                entry["idle_cores"] = round(used / IDLE_SECONDS, 3)

    def _problem(self, place: Place, entrant: Entrant, body: bytes) -> str | None:
        """What keeps the server from answering; None once it does."""
        try:
            answer = self._post(place, entrant, body)
        except httpx.TransportError as error:
            return f"it does not answer ({type(error).__name__})"
        return None if answer.is_success else f"it answers {answer.status_code}: {answer.text[:200]}"

    def _post(self, place: Place, entrant: Entrant, body: bytes) -> httpx.Response:
        headers = {"Content-Type": entrant.content_type} | ({"Accept": entrant.accept} if entrant.accept else {})
        url = f"http://127.0.0.1:{place.port}{entrant.path(place.case)}"
        return self._http.post(url, content=body, headers=headers)
