"""Versions published once for all tests of the service."""

from pathlib import Path

import pytest

from tests.component.service.making import Published, Worker, publish


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return publish(tmp_path_factory.mktemp("published"))


@pytest.fixture
def worker(tmp_path: Path, published: Published) -> Worker:
    """Version 1 is live."""
    made = Worker(tmp_path, published)
    made.promote(1)
    return made
