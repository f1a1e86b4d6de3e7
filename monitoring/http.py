"""The monitor's HTTP side: console, reports, API, metrics and health. Read-only; every answer carries strict headers.

Reports hold what callers sent, so each is served into a sandbox of its own that may run its script and nothing else.
"""

import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lifecycle.clock import MICROSECONDS
from lifecycle.errors import StoreUnavailable
from monitoring.console import Console
from monitoring.downloads import CSV_TYPE, scores_csv, verdicts_csv
from monitoring.metrics import exposition
from monitoring.reports import NAME, REPORT_POLICY

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MOST_LISTED = 1_000
SILENT_SECONDS = 60
START = re.compile(r"-?[0-9]{1,18}")
TEMPLATES = Path(__file__).parent / "templates"


def make_app(console: Console, reports: Path) -> ASGIApp:
    """The ASGI application over a console's facts and the folder of rendered reports."""
    endpoints = _Endpoints(console, reports)
    paths: dict[str, Callable[[Request], Response]] = {
        "/": endpoints.page,
        "/console.css": endpoints.style,
        "/windows/{start}.csv": endpoints.scores_csv,
        "/windows/{start}": endpoints.window,
        "/verdicts.csv": endpoints.verdicts_csv,
        "/reports/{name}": endpoints.report,
        "/api/status": endpoints.status,
        "/api/verdicts": endpoints.verdicts,
        "/api/alerts": endpoints.alerts,
        "/api/runs": endpoints.runs,
        "/metrics": endpoints.metrics,
        "/livez": endpoints.alive,
        "/readyz": endpoints.ready,
    }
    routes = [Route(path, endpoint, methods=["GET"]) for path, endpoint in paths.items()]
    handlers: dict[Any, Any] = {StoreUnavailable: _unavailable, 404: lambda request, _error: _missing(request)}
    return _Headers(Starlette(routes=routes, exception_handlers=handlers))


class _Endpoints:
    """One method per path. They read the ledger, so Starlette runs them in threads."""

    def __init__(self, console: Console, reports: Path) -> None:
        self._console = console
        self._ledger = console.ledger
        self._reports = reports

    def page(self, _request: Request) -> Response:
        return HTMLResponse(self._console.page())

    def style(self, _request: Request) -> Response:
        return FileResponse(TEMPLATES / "console.css", media_type="text/css")

    def window(self, request: Request) -> Response:
        start = _start(request)
        page = None if start is None else self._console.window(start)
        return _missing(request) if page is None else HTMLResponse(page)

    def scores_csv(self, request: Request) -> Response:
        start = _start(request)
        verdict = None if start is None else self._ledger.verdict(start)
        return _missing(request) if verdict is None else _download(scores_csv(verdict), f"window-{start}.csv")

    def verdicts_csv(self, request: Request) -> Response:
        return _download(verdicts_csv(self._ledger.latest(_limit(request))), "verdicts.csv")

    def report(self, request: Request) -> Response:
        name = request.path_params["name"]
        path = self._reports / name
        if not NAME.fullmatch(name) or not path.is_file():
            return _missing(request)
        return FileResponse(path, media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})

    def status(self, _request: Request) -> Response:
        return JSONResponse(self._console.status())

    def verdicts(self, request: Request) -> Response:
        return JSONResponse({"verdicts": [asdict(verdict) for verdict in self._ledger.latest(_limit(request))]})

    def alerts(self, request: Request) -> Response:
        only_open = request.query_params.get("open") == "true"
        listed = self._ledger.alerts(only_open=only_open, limit=_limit(request))
        return JSONResponse({"alerts": [asdict(alert) for alert in listed]})

    def runs(self, request: Request) -> Response:
        return JSONResponse({"runs": [asdict(run) for run in self._ledger.runs(_limit(request))]})

    def metrics(self, _request: Request) -> Response:
        console = self._console
        page = exposition(self._ledger, console.clock, console.settings, console.attempts)
        return Response(page, media_type=CONTENT_TYPE_LATEST)

    def alive(self, _request: Request) -> Response:
        return PlainTextResponse("alive")

    def ready(self, _request: Request) -> Response:
        problems = _unready(self._console)
        return JSONResponse({"ready": not problems, "problems": problems}, status_code=503 if problems else 200)


class _Headers:
    """Adds the security headers to every answer; a policy that an endpoint has set stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", PAGE_POLICY)
                headers.setdefault("Cache-Control", "no-store")
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["X-Frame-Options"] = "SAMEORIGIN"
                headers["Cross-Origin-Opener-Policy"] = "same-origin"
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", "100")
    return min(max(int(text), 1), MOST_LISTED) if text.isascii() and text.isdigit() and len(text) < 9 else 100


def _start(request: Request) -> int | None:
    """The window that a path names; None when it can name none."""
    text = request.path_params["start"]
    return int(text) if START.fullmatch(text) else None


def _download(text: str, name: str) -> Response:
    """A file to be saved, never a page to be shown."""
    return Response(text, media_type=CSV_TYPE, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _missing(_request: Request) -> Response:
    return JSONResponse(
        _error("not_found", "there is nothing here; the console at / links what there is"), status_code=404
    )


def _unavailable(_request: Request, error: Exception) -> Response:
    return JSONResponse(_error("store_unavailable", str(error)), status_code=503)


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "details": []}}


def _unready(console: Console) -> list[str]:
    try:
        console.ledger.pointer()
    except StoreUnavailable as error:
        return [str(error)]
    if not console.steps.leads:
        return ["another monitor of this project leads, or this one is still taking the lead"]
    watched = console.steps.health.succeeded_at.get("watch")
    if watched is None or console.clock.now() - watched > SILENT_SECONDS * MICROSECONDS:
        return [console.steps.health.failures.get("watch", "no round of the watch has ended yet, or not for a minute")]
    return []
