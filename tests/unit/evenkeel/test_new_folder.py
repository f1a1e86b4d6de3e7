"""A folder appears whole or not at all, and nobody's own files are touched."""

from pathlib import Path

import pytest

from evenkeel.new_folder import new_folder
from lifecycle.errors import ProjectInvalid

LAST = "evenkeel.toml"


def fill(folder: Path) -> None:
    (folder / LAST).write_text("whole")
    (folder / "models").mkdir()
    (folder / "models" / "one").write_text("1")


@pytest.mark.parametrize("existing", [False, True])
def test_a_folder_that_is_filled_appears_whole(tmp_path: Path, existing: bool) -> None:
    place = tmp_path / "deep" / "bikes"
    if existing:
        place.mkdir(parents=True)
        before = place.stat().st_ino
    with new_folder(place, LAST) as folder:
        fill(folder)
        assert not (place / LAST).exists()
    assert sorted(path.name for path in place.iterdir()) == [LAST, "models"]
    assert (place / "models" / "one").read_text() == "1"
    assert [path.name for path in place.parent.iterdir()] == ["bikes"]
    assert not existing or place.stat().st_ino == before


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("ending", [KeyboardInterrupt, ValueError, OSError])
def test_nothing_is_left_of_a_folder_whose_making_ended_early(
    tmp_path: Path, existing: bool, ending: type[BaseException]
) -> None:
    place = tmp_path / "deep" / "bikes"
    if existing:
        place.mkdir(parents=True)

    def interrupted() -> None:
        with new_folder(place, LAST) as folder:
            fill(folder)
            raise ending

    with pytest.raises(ending):
        interrupted()
    assert place.exists() == existing
    assert not existing or not list(place.iterdir())
    assert existing or not place.parent.exists()


def test_a_place_taken_meanwhile_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "bikes"
    place.mkdir()

    def raced() -> None:
        with new_folder(place, LAST) as folder:
            fill(folder)
            (place / "models").mkdir()
            (place / "models" / "theirs").write_text("keep")

    with pytest.raises(ProjectInvalid, match="models"):
        raced()
    assert [path.name for path in place.iterdir()] == ["models"]
    assert (place / "models" / "theirs").read_text() == "keep"


@pytest.mark.parametrize(("name", "said"), [("notes", "is not empty"), (LAST, "holds a project already")])
def test_a_folder_with_anything_in_it_is_refused(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(ProjectInvalid, match=said), new_folder(tmp_path, LAST):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_in_the_place_or_above_it_is_refused(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("mine")
    with pytest.raises(ProjectInvalid, match="is a file, not a folder"), new_folder(taken, LAST):
        pass
    with pytest.raises(ProjectInvalid, match="cannot be made"), new_folder(taken / "bikes", LAST):
        pass
