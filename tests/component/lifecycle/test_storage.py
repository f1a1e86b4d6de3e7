"""Where tables are: what is written is durable, and a sync that failed is never asked for again."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log.files import File, LocalFiles
from lifecycle.feature_log.storage import LocalStorage, ObjectStorage, plain, storage_of


class Ailing(LocalFiles):
    """Real files, whose syncs fail while told to; remembers which were synced and which written whole."""

    def __init__(self) -> None:
        self.fails = False
        self.synced: list[str] = []
        self.written: list[str] = []

    def adopt(self, path: Path) -> File:  # type: ignore[override]  # what comes back is a File like any other
        file, ailing = super().adopt(path), self

        class Failing:
            append, truncate, close = file.append, file.truncate, file.close

            def sync(self) -> None:
                ailing.synced.append(path.name)
                if ailing.fails:
                    raise OSError(5, "Input/output error")
                file.sync()

        return Failing()

    def write(self, path: Path, parts: Iterable[bytes]) -> int:
        self.written.append(path.name)
        return super().write(path, parts)


@pytest.fixture
def files() -> Ailing:
    return Ailing()


@pytest.fixture
def storage(tmp_path: Path, files: Ailing) -> LocalStorage:
    return LocalStorage(tmp_path / "log" / "predictions", files)


def test_a_file_is_there_whole_and_can_be_read_listed_and_removed(storage: LocalStorage) -> None:
    assert storage.write("day=2023-11-14/a.parquet", [b"one", b"two"]) == 6
    with storage.read("day=2023-11-14/a.parquet") as file:
        assert file.read() == b"onetwo"
    storage.write("_checks/b", [b"x"])
    assert (storage.paths(), storage.checks(), storage.log_names()) == (["day=2023-11-14/a.parquet"], ["b"], [])
    for _ in range(2):
        storage.remove("day=2023-11-14/a.parquet")
    assert storage.paths() == []


def test_a_write_that_fails_half_way_leaves_nothing(storage: LocalStorage) -> None:
    def parts() -> Iterable[bytes]:
        yield b"one"
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreUnavailable, match="predictions cannot be read or written: .*No space left"):
        storage.write("day=2023-11-14/a.parquet", parts())
    assert storage.paths() == []


def test_a_commit_whose_sync_failed_is_written_anew_and_not_synced_again(storage: LocalStorage, files: Ailing) -> None:
    storage.write("_delta_log/" + f"{0:020}.json", [b"{}"])
    files.fails = True
    with pytest.raises(StoreUnavailable, match="Input/output error"):
        storage.settle(-1)
    files.fails = False
    files.written.clear()
    storage.settle(-1)
    assert (files.synced, files.written) == ([f"{0:020}.json"], [f"{0:020}.json"])
    assert storage.read_log(f"{0:020}.json") == b"{}"
    storage.settle(-1)
    assert len(files.synced) == 2


def test_only_commits_after_a_version_are_settled(storage: LocalStorage, files: Ailing) -> None:
    for version in range(3):
        storage.write("_delta_log/" + f"{version:020}.json", [b"{}"])
    storage.settle(0)
    assert files.synced == [f"{1:020}.json", f"{2:020}.json"]


def test_the_place_of_a_table_is_its_folder_unless_an_address_is_given(tmp_path: Path) -> None:
    local, far = (storage_of(tmp_path, url, "labels", LocalFiles()) for url in ("", "s3://bucket/log/"))
    assert isinstance(local, LocalStorage)
    assert local.url == str(tmp_path / "labels")
    assert isinstance(far, ObjectStorage)
    assert (far.url, far.options["conditional_put"]) == ("s3://bucket/log/labels", "etag")
    assert "conditional_put" not in ObjectStorage("gs://bucket/log").options


def test_what_an_engine_says_in_colours_over_lines_is_one_plain_line() -> None:
    assert plain(OSError("Generic S3 error\n\x1b[31m\u21b3\x1b[0m timed out")) == "Generic S3 error timed out"
