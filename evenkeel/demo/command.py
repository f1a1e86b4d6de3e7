"""`evenkeel demo` at a terminal: makes the project, runs `evenkeel up` on it, tells the story, cleans up."""

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from evenkeel import show
from evenkeel.demo.observer import LOOK_SECONDS, Observer
from evenkeel.demo.product import Product
from evenkeel.demo.receiver import AlertReceiver
from evenkeel.demo.story import Story, Summary
from evenkeel.demo.traffic import Traffic
from evenkeel.demo.world import TARGET, DigitsWorld
from evenkeel.init import InitOptions, init_project
from evenkeel.supervise import stopped_by_signals
from lifecycle.errors import EvenkeelError, ProjectInvalid

QUICK = {
    "EVENKEEL_MONITORING__WINDOW_MINUTES": "0.2",
    "EVENKEEL_MONITORING__MINIMUM_ROWS": "60",
    "EVENKEEL_RETRAIN__MINIMUM_ROWS": "300",
    "EVENKEEL_RETRAIN__COOLDOWN_MINUTES": "0.2",
    "EVENKEEL_FEATURE_LOG__FOLD_SECONDS": "0.5",
}
"""The demo's pace: what a team has in hours happens here in seconds. Nothing else differs from a user's project."""


class Interrupted(EvenkeelError):
    """The person watching pressed Ctrl-C."""


def run_demo(folder: Path | None, *, leave: bool, as_json: bool) -> int:
    """Run the demo; 0 when every step of the loop was seen."""
    if folder is not None and folder.exists() and any(folder.iterdir()):
        raise ProjectInvalid(f"{folder} is not empty; name a new folder with --project, or leave it out")
    directory = folder or Path(tempfile.mkdtemp(prefix="evenkeel-demo-")) / "digits"
    try:
        return _run(directory, leave=leave, as_json=as_json)
    finally:
        if folder is None and leave:
            shutil.rmtree(directory.parent, ignore_errors=True)


def _run(directory: Path, *, leave: bool, as_json: bool) -> int:
    began = time.monotonic()

    def tell(text: str) -> None:
        show.notes.print(f"[{time.monotonic() - began:6.1f} s] {text}", markup=False, soft_wrap=True)

    receiver = AlertReceiver()
    receiver.start()
    service, monitor = _free_ports()
    environment = QUICK | {
        "EVENKEEL_SERVICE__PORT": str(service),
        "EVENKEEL_MONITORING__PORT": str(monitor),
        "EVENKEEL_ALERTS__TARGETS": receiver.target,
    }
    os.environ.update(environment)
    _make_project(directory, tell)
    with stopped_by_signals() as stop, Product(directory) as product:

        def broken() -> EvenkeelError | None:
            if stop.is_set():
                return Interrupted("the demo was interrupted")
            if not product.look_after():
                return ProjectInvalid(f"`evenkeel up` died again and again; {product.log} says why")
            return traffic.problem

        traffic = Traffic(f"http://127.0.0.1:{service}")
        observer = Observer(f"http://127.0.0.1:{service}", f"http://127.0.0.1:{monitor}", broken)
        story = Story(observer, traffic, receiver, tell)
        try:
            summary = story.run()
            summary.project = str(directory)
            _print(summary, as_json=as_json)
            if not leave:
                _stay(directory, service, monitor)
                while not stop.wait(LOOK_SECONDS) and product.look_after():
                    pass
        except Interrupted as error:
            tell(str(error))
            return 130
        finally:
            traffic.stop()
            observer.close()
            receiver.stop()
    return int(summary.missing is not None)


def _make_project(directory: Path, tell: Callable[[str], None]) -> None:
    with tempfile.TemporaryDirectory(prefix="evenkeel-demo-source-") as source:
        file = Path(source) / "digits.csv"
        rows = DigitsWorld().write_reference(file)
        tell(f"making a project from {rows} handwritten digits (scikit-learn's, real images)")
        made = init_project(directory, file, InitOptions(target=TARGET, name="digits"))
    tell(f"version 1 is trained and promoted: {made.score}")


def _free_ports() -> tuple[int, int]:
    """Two ports the system says are free."""
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def _print(summary: Summary, *, as_json: bool) -> None:
    if as_json:
        show.as_json(summary.describe())
        return
    show.line()
    show.table(
        "the loop in numbers",
        ("what", "measured"),
        [
            ("accuracy before / during / after", " / ".join(_percent(value) for value in _accuracies(summary))),
            ("change to alert", _seconds(summary.seconds_to_alert)),
            ("change to promotion", _seconds(summary.seconds_to_promotion)),
            ("change to last worker swapped", _seconds(summary.seconds_to_last_worker)),
            ("promotion to last worker swapped", _seconds(summary.swap_seconds)),
            ("requests sent / failed", f"{summary.requests_sent} / {summary.requests_failed}"),
            ("steps seen", ", ".join(summary.steps)),
            ("not seen", summary.missing),
        ],
    )


def _accuracies(summary: Summary) -> tuple[float | None, ...]:
    return summary.accuracy_before, summary.accuracy_during, summary.accuracy_after


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f} s"


def _stay(directory: Path, service: int, monitor: int) -> None:
    show.line()
    show.line("It stays up, with drifted traffic, until Ctrl-C. Look at:")
    show.line(f"  http://127.0.0.1:{monitor}/            verdicts, scores, alerts, retrain decisions")
    show.line(f"  http://127.0.0.1:{service}/metrics     what Prometheus scrapes")
    show.line(f"  evenkeel status --project {directory}")
    show.line(f"  evenkeel models --project {directory}")
