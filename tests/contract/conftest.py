"""Every implementation of the ledger, for the files that hold its parts to their promises."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.ledger.sql import SqlLedger


@pytest.fixture(params=["sqlite://", "sqlite:///state/ledger.db"], ids=["memory", "file"])
def any_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlLedger]:
    opened = SqlLedger(request.param, tmp_path)
    yield opened
    opened.close()
