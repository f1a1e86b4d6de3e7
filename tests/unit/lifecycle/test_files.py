"""The operating system's files, as the feature log uses them."""

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.feature_log.files import LocalFile, LocalFiles, boot_id

FILES = LocalFiles()


def test_what_was_appended_is_read_in_order_and_truncation_cuts_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a"
    file = FILES.create(path)
    file.append(b"one")
    file.append(b"two")
    file.truncate(4)
    file.append(b"!")
    file.sync()
    assert (FILES.read(path), FILES.size(path)) == (b"onet!", 5)
    file.close()
    file.close()


def test_a_file_is_created_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    FILES.create(tmp_path / "a").close()
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        FILES.create(tmp_path / "a")


def test_a_file_that_is_open_cannot_be_adopted_and_one_that_was_closed_can(tmp_path: Path) -> None:
    file = FILES.create(tmp_path / "a")
    with pytest.raises(BlockingIOError):
        FILES.adopt(tmp_path / "a")
    file.close()
    FILES.adopt(tmp_path / "a").close()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        FILES.adopt(tmp_path / "link")


class Renamed(LocalFile):
    """A file that somebody renames after it was opened and before it is locked."""

    def _check_name(self, path: Path) -> None:
        path.rename(path.with_suffix(".taken"))
        super()._check_name(path)


class Replaced(LocalFile):
    """A file whose name is another file's by the time it is locked."""

    def _check_name(self, path: Path) -> None:
        path.rename(path.with_suffix(".taken"))
        path.touch()
        super()._check_name(path)


class Unchecked(Renamed):
    """Broken: believes that the name it opened is still that of the file it locked."""

    def _check_name(self, path: Path) -> None:
        path.rename(path.with_suffix(".taken"))


@pytest.mark.parametrize("kind", [Renamed, Replaced])
def test_a_file_that_was_renamed_before_it_was_locked_is_not_taken(tmp_path: Path, kind: type[LocalFile]) -> None:
    path = tmp_path / "a"
    with pytest.raises(FileNotFoundError):
        kind(path, os.O_CREAT | os.O_EXCL)
    with path.with_suffix(".taken").open() as taken:
        fcntl.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it was let go


def test_without_that_check_a_writer_would_append_to_a_file_that_has_been_folded(tmp_path: Path) -> None:
    file = Unchecked(tmp_path / "a", os.O_CREAT | os.O_EXCL)
    file.append(b"lost")
    assert not (tmp_path / "a").exists()
    file.close()


def test_a_whole_file_is_there_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a"
    assert FILES.write(path, [b"one", b"two"]) == 6
    assert FILES.read(path) == b"onetwo"

    def broken() -> Iterator[bytes]:
        yield b"new"
        raise OSError(errno.EIO, "the second part cannot be made")

    with pytest.raises(OSError, match="second part"):
        FILES.write(path, broken())
    assert (FILES.read(path), FILES.names(path.parent)) == (b"onetwo", ["a"])


def test_names_are_sorted_and_none_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for name in "cab":
        (tmp_path / name).touch()
    assert FILES.names(tmp_path) == ["a", "b", "c"]
    assert FILES.names(tmp_path / "absent") == []


def test_renaming_replaces_and_makes_the_folder_and_removing_is_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    FILES.rename(tmp_path / "a", tmp_path / "new" / "b")
    (tmp_path / "c").write_text("c")
    FILES.rename(tmp_path / "c", tmp_path / "new" / "b")
    FILES.sync_folder(tmp_path / "new")
    assert FILES.read(tmp_path / "new" / "b") == b"c"
    FILES.remove(tmp_path / "new" / "b")
    with pytest.raises(FileNotFoundError):
        FILES.remove(tmp_path / "new" / "b")


def test_the_run_of_the_kernel_has_one_name() -> None:
    assert boot_id() == boot_id()
    assert len(boot_id()) in {0, 36}
