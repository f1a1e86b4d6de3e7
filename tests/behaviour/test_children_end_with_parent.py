"""Children end with their parent, even when it is killed."""

import os
import select
import signal
import subprocess
import sys

import pytest

CHILD = "import sys, threading\nfrom lifecycle import process\n{watch}\nprint(flush=True)\nthreading.Event().wait()\n"
PARENT = """
import subprocess, sys
from lifecycle.process import child_environment
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], env=child_environment(), pass_fds=[int(sys.argv[2])],
                         stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


def _ends_with_its_parent(child: str, seconds: float) -> bool:
    """Starts a parent that starts `child`, kills the parent, and watches a pipe that only the child holds open."""
    reading, writing = os.pipe()
    command = [sys.executable, "-c", PARENT, child, str(writing)]
    with subprocess.Popen(command, pass_fds=[writing], stdout=subprocess.PIPE, text=True) as parent:
        os.close(writing)
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
    ready, _, _ = select.select([reading], [], [], seconds)
    if not ready:
        os.kill(pid, signal.SIGKILL)
    assert os.read(reading, 1) == b"", "the pipe closes when the child has ended"
    os.close(reading)
    return bool(ready)


def test_a_child_ends_soon_after_its_parent_was_killed() -> None:
    assert _ends_with_its_parent(CHILD.format(watch="process.exit_with_parent()"), seconds=10)


def test_the_check_sees_a_child_that_does_not_watch() -> None:
    assert not _ends_with_its_parent(CHILD.format(watch=""), seconds=0.6)


@pytest.mark.parametrize("named", [None, "self"])
def test_without_a_parent_to_watch_nothing_happens(named: str | None) -> None:
    program = "import threading\nfrom lifecycle.process import exit_with_parent\n"
    program += "import os\nos.environ['EVENKEEL_PARENT_PID'] = str(os.getpid())\n" if named else ""
    program += "exit_with_parent()\nprint(threading.active_count())\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
