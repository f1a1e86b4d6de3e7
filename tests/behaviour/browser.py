"""Chromium without a window: the page as it is after its scripts have run, and what happens when everything on it is touched.

It is driven over a pipe (the DevTools protocol, messages ended by a zero byte), so that a page's own policy stays in force.
"""

import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
SECONDS = 60.0
TOUCH = """
(async () => {
  const live = new Set(), all = selector => [...document.querySelectorAll(selector)];
  let hovered = 0;
  const isLive = ({name, value}) => /^on/i.test(name) || (/^(href|src|action|formaction|data|xlink:href)$/i.test(name) && /^\\s*(javascript|vbscript|data:text)/i.test(value));
  const leaves = link => link && /^https?:/.test(link.href);
  addEventListener("click", event => { if (leaves(event.target.closest?.("a[href]"))) event.preventDefault(); }, true);
  const settled = async () => {
    for (let calm = 0, count = -1, rounds = 0; calm < 3 && rounds < 60; calm++, rounds++) {
      await new Promise(done => setTimeout(done, 40));
      const now = all("*").length;
      if (now !== count) [calm, count] = [0, now];
    }
  };
  for (;;) {
    for (const item of all("button[aria-label='Detail panel visibility toggle']")) item.click();
    await settled();
    for (const item of all("*")) {
      const found = [...item.attributes].filter(isLive);
      if (found.length) live.add(item.outerHTML.slice(0, 200));
      for (const {name} of found) item.dispatchEvent(new MouseEvent(name.slice(2), {cancelable: true}));
      if (found.length) item.click?.();
    }
    for (const item of all(".nsewdrag, .xtick, .ytick")) {
      const {left, top, width, height} = item.getBoundingClientRect();
      const at = {bubbles: true, clientX: left + width / 2, clientY: top + height / 2};
      for (const name of ["mouseover", "mousemove"]) item.dispatchEvent(new MouseEvent(name, at));
      hovered++;
    }
    for (const item of all("a[href]")) item.click();
    await settled();
    const next = document.querySelector("button[aria-label='Next Page']:not([disabled])");
    if (!next) return {live: [...live], hovered};
    next.click();
    await settled();
  }
})()
"""
"""Touches what can be touched, page after page of a table."""


def executable() -> str:
    """Where Chromium is; skips the test where it is not."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("chromium is not installed; scripts/system-packages.sh installs it")
    return found


def dom(address: str, seconds: int = 10) -> str:
    """The document at `address` after at most `seconds` of its own time."""
    chromium = executable()
    with tempfile.TemporaryDirectory() as profile:
        command = [
            chromium,
            *FLAGS,
            f"--user-data-dir={profile}",
            f"--virtual-time-budget={seconds * 1000}",
            "--dump-dom",
            address,
        ]
        return subprocess.run(command, check=True, timeout=120, capture_output=True, text=True).stdout


@dataclass(frozen=True)
class Touched:
    """The elements that have a handler or a script for an address, and how many charts were hovered over."""

    live: list[str]
    hovered: int


@dataclass
class Page:
    """One tab. `ran` holds what scripts passed to `pwned`, `dialogs` what they asked, `refused` what the policy kept from running."""

    pipe: "_Pipe"
    session: str
    ran: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def open(self, address: str) -> None:
        """Go to `address` and wait until it has loaded."""
        loaded = len(self.pipe.events)
        self.call("Page.navigate", url=address)
        self.pipe.until(lambda: any(event["method"] == "Page.loadEventFired" for event in self.pipe.events[loaded:]))

    def call(self, method: str, **parameters: Any) -> Any:
        result = self.pipe.call(method, parameters, self.session)
        self._note()
        return result

    def evaluate(self, expression: str) -> Any:
        """The value of JavaScript, promises awaited; it is not bound by the page's policy."""
        told = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def until(self, expression: str, seconds: float = SECONDS) -> None:
        """Wait until the expression is true."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(f"Boolean({expression})"):
            assert time.monotonic() < deadline, f"within {seconds:.0f} s: {expression}"
            self.evaluate("new Promise(done => setTimeout(done, 50))")

    def touch(self) -> "Touched":
        """Hover and click, also what appears by that."""
        return Touched(**self.evaluate(TOUCH))

    def _note(self) -> None:
        for event in self.pipe.taken(self.session):
            if event["method"] == "Runtime.bindingCalled":
                self.ran.append(event["params"]["payload"])
            elif event["method"] == "Page.javascriptDialogOpening":
                self.dialogs.append(event["params"]["message"])
            elif event["method"] == "Log.entryAdded" and event["params"]["entry"]["source"] == "security":
                self.refused.append(event["params"]["entry"]["text"])


@contextmanager
def opened() -> Iterator[Page]:
    """A browser with one tab, ended and reaped afterwards."""
    chromium = executable()
    with ExitStack() as stack:
        profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        to_browser, ours_in = os.pipe()
        ours_out, from_browser = os.pipe()
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (to_browser, from_browser)]  # clear of 3 and 4
        command = ["bash", "-c", f'exec 3<&{theirs[0]} 4>&{theirs[1]}; exec "$@"', "bash", chromium, *FLAGS]
        command += [f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
        log = stack.enter_context((Path(profile) / "log").open("wb"))
        process = stack.enter_context(subprocess.Popen(command, pass_fds=theirs, stdout=log, stderr=log))
        for end in (to_browser, from_browser, *theirs):
            os.close(end)
        stack.callback(process.kill)
        stack.callback(os.close, ours_in)
        stack.callback(os.close, ours_out)
        yield _tab(_Pipe(ours_in, ours_out))


def _tab(pipe: "_Pipe") -> Page:
    target = pipe.call("Target.createTarget", {"url": "about:blank"})["targetId"]
    page = Page(pipe, pipe.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"])
    for domain in ("Page", "Runtime", "Log"):
        page.call(f"{domain}.enable")
    page.call("Runtime.addBinding", name="pwned")
    # a binding takes one text; attacks pass a number, and some call it from a frame within
    wrap = "{const told = globalThis.pwned; globalThis.pwned = number => told(String(number));}"
    page.call("Page.addScriptToEvaluateOnNewDocument", source=wrap)
    return page


class _Pipe:
    """Messages to and from a browser."""

    def __init__(self, ours_in: int, ours_out: int) -> None:
        self._in, self._out = ours_in, ours_out
        self._pending = b""
        self._number = 0
        self._answers: dict[int, Any] = {}
        self.events: list[dict[str, Any]] = []
        self._noted = 0

    def call(self, method: str, parameters: dict[str, Any], session: str | None = None) -> Any:
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._in, json.dumps(message).encode() + b"\0")
        self.until(lambda: number in self._answers)
        told = self._answers.pop(number)
        assert "error" not in told, f"{method}: {told.get('error')}"
        return told["result"]

    def until(self, is_done: Any, seconds: float = SECONDS) -> None:
        """Read until `is_done()`."""
        deadline = time.monotonic() + seconds
        while not is_done():
            left = deadline - time.monotonic()
            assert left > 0, f"the browser did not answer within {seconds:.0f} s"
            if select.select([self._out], [], [], left)[0]:
                self._read()

    def taken(self, session: str) -> list[dict[str, Any]]:
        """The events of a session that were not taken before."""
        fresh, self._noted = self.events[self._noted :], len(self.events)
        return [event for event in fresh if event.get("sessionId") == session]

    def _read(self) -> None:
        found = os.read(self._out, 2**20)
        assert found, "the browser ended"
        *whole, self._pending = (self._pending + found).split(b"\0")
        for message in map(json.loads, whole):
            if "id" in message:
                self._answers[message["id"]] = message
                continue
            self.events.append(message)
            if message["method"] == "Page.javascriptDialogOpening":
                self._dismiss(message["sessionId"])

    def _dismiss(self, session: str) -> None:
        """A dialog stops its page until it is answered."""
        self._number += 1
        message = {
            "id": self._number,
            "method": "Page.handleJavaScriptDialog",
            "params": {"accept": False},
            "sessionId": session,
        }
        os.write(self._in, json.dumps(message).encode() + b"\0")
