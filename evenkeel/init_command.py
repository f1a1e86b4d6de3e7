"""`evenkeel init` at a terminal: what is being done while it is, and the summary. A signal ends it with nothing left."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from evenkeel import show
from evenkeel.init import InitOptions, init_project
from evenkeel.init_summary import print_summary

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_init(directory: Path, source: Path, options: InitOptions, *, as_json: bool) -> None:
    """Make the project and print what it is."""
    with ended_by_signals(), show.notes.status("Looking") as status:
        summary = init_project(directory, source, options, status.update)
    if as_json:
        show.as_json(summary.as_json())
    else:
        print_summary(summary, show.console)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP raise SystemExit (128 + the signal) in the block, once: what cleans up is left in peace.

    A signal that is ignored already (`nohup`) stays ignored. The handlers that were there before come back afterwards.
    """
    numbers = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]

    def end(number: int, _: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
