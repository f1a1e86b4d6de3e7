"""Processes that never outlive who started them, however that one ended.

The starter passes its process id down; a thread of the child compares it with its actual parent and ends the child at
once when they differ. This works after `kill -9` of the parent, in containers, and on every POSIX system.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping

from lifecycle.errors import EvenkeelError

PARENT = "EVENKEEL_PARENT_PID"
LOOK_SECONDS = 0.25


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a child of this process."""
    return {**os.environ, **(extra or {}), PARENT: str(os.getpid())}


def exit_code(run: Callable[[], int | None]) -> int:
    """Run a program; an error that Evenkeel raises on purpose is its sentence on stderr and code 2."""
    try:
        return run() or 0
    except EvenkeelError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def exit_with_parent() -> None:
    """End this process soon after its parent ends; does nothing when no parent was named."""
    parent = os.environ.get(PARENT)
    if parent is None or int(parent) == os.getpid():
        return
    threading.Thread(target=_watch, args=(int(parent),), name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    never = threading.Event()
    while os.getppid() == parent:
        never.wait(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
