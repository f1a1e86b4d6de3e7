"""`evenkeel up` at a terminal: says where things are once they answer, then stays until a signal."""

import threading
from pathlib import Path

import httpx

from evenkeel import show
from evenkeel.supervise import Supervisor, stopped_by_signals
from lifecycle.logs import configure
from lifecycle.process import exit_with_parent
from lifecycle.project import Project
from service.access import admit


def run_up(path: Path, *, insecure: bool = False) -> None:
    """Supervise the project until Ctrl-C, SIGTERM, or the end of the terminal.

    Raises ConfigInvalid when the service would be open to others and `insecure` does not say that it may.
    """
    exit_with_parent()
    configure("up")
    project = Project.open(path)
    access = admit(project.config.service, lambda: project.ledger, project.clock.now(), insecure=insecure)
    service, monitoring = project.config.service, project.config.monitoring
    with stopped_by_signals() as stop:
        announcer = threading.Thread(target=_announce, args=(project, stop), name="announcer", daemon=True)
        supervisor = Supervisor(project, stop, flags={"service": ("--insecure",)} if insecure else None)
        show.notes.print(f"starting {project.config.model.name}: service, fold, monitor (Ctrl-C ends all)")
        if access.sentence:
            show.notes.print(access.sentence, style="yellow", markup=False)
        announcer.start()
        supervisor.run()
    show.notes.print(f"ended; ports {service.port} and {monitoring.port} are free again")


def _announce(project: Project, stop: threading.Event) -> None:
    service, monitoring = project.config.service, project.config.monitoring
    addresses = {
        "service": f"http://{service.host}:{service.port}",
        "monitor": f"http://{monitoring.host}:{monitoring.port}",
    }
    for name, address in addresses.items():
        while not _answers(f"{address}/readyz"):
            if project.clock.wait(stop, 0.3):
                return
        show.notes.print(f"{name} ready at {address}")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False
