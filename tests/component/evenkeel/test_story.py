"""The demo tells what it saw, measures it, and says which step it did not see."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import httpx
import pytest

from evenkeel.demo.observer import NotObserved, Observer
from evenkeel.demo.receiver import AlertReceiver
from evenkeel.demo.story import Story, Summary
from evenkeel.demo.traffic import Tally, Traffic
from evenkeel.demo.world import Pair
from lifecycle.clock import SystemClock
from lifecycle.errors import EvenkeelError, ProjectInvalid

Found = TypeVar("Found")
SERVICE, MONITOR = "http://service", "http://monitor"
STEPS = ["ready", "steady", "alert", "promotion", "swap", "recovery"]
SECOND = 1_000_000


class Product:
    """What the product would show as the traffic changes, but for what is `lacking`."""

    def __init__(self, *lacking: str, after: float = 0.9, later: float | None = None) -> None:
        """`later` is the accuracy after a second promotion; None when there is none."""
        self.lacking = set(lacking)
        self.phase = ""
        self.onset = 0
        self.messages: list[dict[str, Any]] = []
        self.accuracy = {"before": 0.95, "during": 0.4, "after 0": after, "after 1": later}
        self.newest = 3
        self.verdicts: list[dict[str, Any]] = []

    def turn(self, phase: str) -> None:
        self.phase = phase
        if phase == "later" and self.accuracy["after 1"] is not None:
            self.newest = 4
        now = SystemClock().now()
        if phase == "before" and "steady" not in self.lacking:
            self._judge("ok", now)
        if phase == "during":
            self.onset = now
            if "verdict" not in self.lacking:
                self._judge("drift", now)
            if "alert" not in self.lacking:
                self.messages.append({"title": "houses drifts"})

    def answer(self, request: httpx.Request) -> httpx.Response:
        if "ready" in self.lacking:
            raise httpx.ConnectError("refused")
        found = {"verdicts": self.verdicts, "alerts": [], "runs": self._runs()}
        name = request.url.path.rsplit("/", 1)[-1]
        return httpx.Response(200, json=self._status() if name == "status" else {name: found.get(name)})

    def _judge(self, state: str, end: int) -> None:
        verdict = {
            "start": end - 12 * SECOND,
            "end": end + SECOND,
            "state": state,
            "rows": 99,
            "reasons": ["it strays"],
        }
        self.verdicts.insert(0, verdict)

    def _runs(self) -> list[dict[str, Any]]:
        refused = {"state": "refused", "challenger": 2, "decision": {}}
        promoted = {"state": "promoted", "challenger": 3, "decision": {"reasons": ["better"], "swap_seconds": 0.2}}
        newer = [promoted | {"challenger": 4}] if self.newest == 4 else []
        return [refused] if "promotion" in self.lacking else [*newer, promoted, refused]

    def _status(self) -> dict[str, Any]:
        moved = self.onset + 5 * SECOND
        late = 2 if "swap" in self.lacking else self.newest
        workers = [{"version": version, "swapped_at": moved + 3 * SECOND} for version in (self.newest, late)]
        return {"champion": {"version": self.newest, "moved_at": moved}, "workers": workers}


class Watching(Observer):
    """An observer that looks once instead of waiting."""

    def __init__(self, product: Product) -> None:
        super().__init__(SERVICE, MONITOR, lambda: None, transport=httpx.MockTransport(product.answer))

    def wait(self, what: str, look: Callable[[], Found | None], seconds: float) -> Found:
        return super().wait(what, look, -1)


class Callers(Traffic):
    """Traffic that only names its phase to the product."""

    def __init__(self, product: Product) -> None:
        super().__init__(SERVICE)
        self._product = product

    def start(self) -> None:
        return

    def switch(self, phase: str, pairs: Iterator[Pair]) -> None:
        self._product.turn(phase)
        if phase.startswith("after"):
            self.done.set()

    def tally(self, phase: str) -> Tally:
        right = round(100 * (self._product.accuracy[phase] or 0))
        return Tally({1: 100}, {1: right})


class Inbox(AlertReceiver):
    """A receiver that listens nowhere."""

    def __init__(self, product: Product) -> None:
        self.messages = product.messages


def told(product: Product) -> tuple[Summary, list[str]]:
    lines: list[str] = []
    watching, callers = Watching(product), Callers(product)
    summary = Story(watching, callers, Inbox(product), lines.append).run()
    watching.close()
    callers.stop()
    return summary, lines


def test_a_loop_that_happened_is_told_step_by_step_with_the_numbers() -> None:
    summary, lines = told(Product())
    assert (summary.missing, summary.steps) == (None, STEPS)
    assert (summary.accuracy_before, summary.accuracy_during, summary.accuracy_after) == (0.95, 0.4, 0.9)
    assert (summary.version, summary.workers, summary.swap_seconds) == (3, 2, 0.2)
    assert summary.seconds_to_promotion is not None
    assert 5 <= summary.seconds_to_promotion < 60
    assert summary.seconds_to_last_worker == pytest.approx(summary.seconds_to_promotion + 3)
    assert summary.alerts == ["houses drifts"]
    assert lines[-1] == "recovered: accuracy 90.0% on images never seen, after 40.0%; it was 95.0% before"
    assert any("retrain promoted version 3: better" in line for line in lines)


@pytest.mark.parametrize(
    ("lacking", "steps", "words"),
    [
        ("ready", 0, "a ready service and monitor"),
        ("steady", 1, "a window judged ok"),
        ("verdict", 2, "a drift or performance verdict"),
        ("alert", 2, "an alert at the webhook"),
        ("promotion", 3, "a promoted retrain"),
        ("swap", 4, "every worker on the new version"),
    ],
)
def test_a_step_that_did_not_happen_ends_the_story_by_its_name(lacking: str, steps: int, words: str) -> None:
    summary, lines = told(Product(lacking))
    assert summary.steps == STEPS[:steps]
    assert summary.missing is not None
    assert f"{words} was not seen" in summary.missing
    assert lines[-1].startswith(f"not seen: {words}")


@pytest.mark.parametrize(("after", "recovered"), [(0.68, True), (0.67, False)])
def test_recovered_means_half_of_what_was_lost_came_back(after: float, recovered: bool) -> None:
    summary, _ = told(Product(after=after))
    assert summary.accuracy_after == after
    assert (summary.missing is None) == recovered
    assert ("recovery" in summary.steps) == recovered


def test_where_one_promotion_is_not_enough_the_next_is_waited_for_and_measured() -> None:
    summary, lines = told(Product(after=0.5, later=0.8))
    assert (summary.missing, summary.version, summary.accuracy_after) == (None, 4, 0.8)
    assert any(line.startswith("not recovered yet: accuracy 50.0%") for line in lines)


def test_alarms_from_before_the_change_do_not_count() -> None:
    product = Product("verdict")
    product.verdicts = [{"start": 0, "end": SECOND, "state": "drift", "rows": 9, "reasons": ["long ago"]}]
    assert "a drift or performance verdict" in (told(product)[0].missing or "")
    product = Product("alert")
    product.messages.append({"title": "of another day"})
    assert "an alert at the webhook" in (told(product)[0].missing or "")


def test_accuracy_is_of_all_versions_or_of_one() -> None:
    tally = Tally({1: 10, 2: 30}, {1: 1, 2: 27})
    assert (tally.accuracy(), tally.accuracy(1), tally.accuracy(2), tally.accuracy(3)) == (0.7, 0.1, 0.9, None)


def test_an_interface_that_does_not_answer_shows_nothing() -> None:
    def refused(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    for answer in (refused, lambda _: httpx.Response(503)):
        observer = Observer(SERVICE, MONITOR, lambda: None, transport=httpx.MockTransport(answer))
        assert (observer.ready(), observer.status()) == (None, None)
        assert observer.verdicts() == observer.runs() == []
        observer.close()


def test_waiting_ends_with_what_was_found_or_with_what_broke_the_demo() -> None:
    problems: list[EvenkeelError] = []
    observer = Observer(SERVICE, MONITOR, lambda: problems[0] if problems else None)
    looks = iter([None, "found"])
    assert observer.wait("a thing", lambda: next(looks), 10) == "found"
    with pytest.raises(NotObserved, match=r"a thing was not seen within 0 s"):
        observer.wait("a thing", lambda: None, 0)
    problems.append(ProjectInvalid("it broke"))
    with pytest.raises(ProjectInvalid, match="it broke"):
        observer.wait("a thing", lambda: None, 10)
    observer.close()
