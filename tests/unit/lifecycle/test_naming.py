"""Names of segments say whose they are, which one, and how long a sealed one is."""

from pathlib import Path

import pytest

from lifecycle.feature_log import naming


def test_a_sealed_name_says_what_the_open_one_said_and_its_size() -> None:
    opened = naming.open_name("writer", 7)
    assert naming.parsed(opened) == ("writer", 7, None)
    assert naming.parsed(naming.sealed(Path("folder") / opened, 12_345).name) == ("writer", 7, 12_345)


def test_sealing_again_replaces_the_size() -> None:
    once = naming.sealed(Path(naming.open_name("writer", 7)), 1)
    assert naming.sealed(once, 2).name == "writer.0000000007.2.seg"


@pytest.mark.parametrize(
    "name", ["notes.txt", "notes.seg", "a.b.seg", ".0000000001.seg", "a.0000000001.x.seg", "a.0000000001.1.2.seg"]
)
def test_any_other_name_is_no_segment(name: str) -> None:
    assert not naming.is_segment(name)
    assert naming.is_segment(naming.open_name("0f-1", 3))
    assert naming.is_segment(naming.sealed(Path(naming.open_name("0f-1", 3)), 9).name)


def test_any_other_name_is_refused() -> None:
    with pytest.raises(ValueError):
        naming.parsed("notes.txt")
