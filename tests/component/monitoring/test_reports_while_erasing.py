"""Reports and erasures: a page that may show rows that are being erased is not kept, and none is rendered meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lifecycle.config import MonitoringSection
from lifecycle.ledger.sql import SqlLedger
from lifecycle.records import ColumnScore, Erasure, Verdict
from lifecycle.snapshots import identifier, snapshots
from monitoring.reports import Reports, file_name
from monitoring.stores import Amendments

START, END = 1_700_000_000_000_000, 1_700_003_600_000_000
ASKED = Erasure("1", "p_", START, "a test")
DONE = Erasure("1", "", START, "a test", END)


@dataclass
class World:
    """A window that wants a report, and what happens while it is rendered: a page and a snapshot of it."""

    ledger: SqlLedger
    folder: Path
    rendered: int = 0
    meanwhile: list[Callable[[], None]] = field(default_factory=list)

    def reports(self) -> Reports:
        world = self

        class Rendering(Reports):
            """Renders a page at once."""

            def _run(self, start: int) -> bool:
                (world.folder / file_name(start)).write_text("a page")
                (world.workspace / f"{identifier(world.folder, start)}.json").write_text("a snapshot")
                world.rendered += 1
                for happens in world.meanwhile:
                    happens()
                return True

        settings = MonitoringSection(evidently_workspace="seen")
        return Rendering(self.ledger, Amendments(self.ledger), self.folder, self.folder, settings)

    @property
    def workspace(self) -> Path:
        folder = self.folder / "seen" / "a project" / "snapshots"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def report(self) -> str | None:
        verdict = self.ledger.verdict(START)
        assert verdict is not None
        assert (verdict.report is not None) == (self.folder / file_name(START)).exists()
        kept = [start for start, _ in snapshots(self.folder / "seen", self.folder)]
        assert kept == ([START] if verdict.report else []), "a snapshot is there as long as its page is"
        return verdict.report


@pytest.fixture
def world(ledger: SqlLedger, tmp_path: Path) -> World:
    ledger.save(Verdict(START, END, 100, "drift", 1, (ColumnScore("a", "ks", 0.5, 0.1),)))
    return World(ledger, tmp_path)


def test_without_an_erasure_a_page_is_rendered_once(world: World) -> None:
    reports = world.reports()
    reports.step()
    reports.step()
    assert (world.report, world.rendered) == (file_name(START), 1)


@pytest.mark.parametrize("happened", [ASKED, DONE])
def test_a_page_rendered_from_rows_that_were_erased_meanwhile_is_thrown_away(world: World, happened: Erasure) -> None:
    reports = world.reports()
    world.meanwhile.append(lambda: world.ledger.save_erasure(happened))
    reports.step()
    assert (world.report, world.rendered) == (None, 1)
    world.ledger.save_erasure(DONE)
    world.meanwhile.clear()
    reports.step()
    assert (world.report, world.rendered) == (file_name(START), 2)


def test_nothing_is_rendered_until_an_erasure_is_finished(world: World) -> None:
    reports = world.reports()
    world.ledger.save_erasure(ASKED)
    reports.step()
    assert (world.report, world.rendered) == (None, 0)
    world.ledger.save_erasure(DONE)
    reports.step()
    assert (world.report, world.rendered) == (file_name(START), 1)


def test_when_a_page_is_withdrawn_its_snapshot_goes_too_even_before_the_erasure_is_finished(world: World) -> None:
    reports = world.reports()
    reports.step()
    world.ledger.save_erasure(ASKED)
    (world.folder / file_name(START)).unlink()
    world.ledger.withdraw_report(START)
    reports.step()
    assert (world.report, world.rendered) == (None, 1)
