"""A model has a name that is safe everywhere."""

from pathlib import Path

import pytest

from evenkeel.naming import model_name
from lifecycle.errors import ProjectInvalid


@pytest.mark.parametrize(
    ("asked", "folder", "name"),
    [("fraud-2", "x", "fraud-2"), (None, "bikes", "bikes"), (None, "my bikes!", "my-bikes"), (None, "2024", "model")],
)
def test_a_name_is_the_one_asked_for_or_the_folders(asked: str | None, folder: str, name: str) -> None:
    assert model_name(asked, Path("/srv") / folder) == name


@pytest.mark.parametrize("asked", ["", "2nd", "a b", "../up", "x" * 64])
def test_a_text_that_is_no_name_is_refused(asked: str) -> None:
    with pytest.raises(ProjectInvalid, match="is not a model name"):
        model_name(asked, Path("bikes"))
