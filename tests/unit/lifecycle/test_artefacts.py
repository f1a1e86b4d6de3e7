"""Artefacts: equal models are equal bytes (R4), and types outside the allow-list are neither written nor opened."""

from pathlib import Path

import pytest
import skops.io
from sklearn.linear_model import LinearRegression

from lifecycle import artefacts
from lifecycle.errors import ArtefactRejected, ProjectInvalid


class Foreign(LinearRegression):  # type: ignore[misc]  # scikit-learn has no types
    """An estimator of nobody's."""


def test_equal_models_are_equal_bytes_and_without_settling_they_are_not(tmp_path: Path) -> None:
    settled, raw = [], []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        model = LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])
        settled.append((folder / artefacts.save(model, folder, "skops")).read_bytes())
        raw.append(skops.io.dumps(model))
    assert settled[0] == settled[1]
    assert raw[0] != raw[1], "the check would pass without the product's own step"


def test_a_model_that_was_settled_answers_as_before(tmp_path: Path) -> None:
    model = LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])
    artefacts.save(model, tmp_path, "skops")
    assert artefacts.load(tmp_path / "model.skops").predict([[2.0]]) == model.predict([[2.0]])


def test_a_foreign_type_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ProjectInvalid, match="Foreign"):
        artefacts.save(Foreign().fit([[0.0], [1.0]], [1.0, 3.0]), tmp_path, "skops")


def test_a_foreign_type_is_not_opened(tmp_path: Path) -> None:
    skops.io.dump(Foreign().fit([[0.0], [1.0]], [1.0, 3.0]), tmp_path / "model.skops")
    with pytest.raises(ArtefactRejected, match="Foreign"):
        artefacts.load(tmp_path / "model.skops")
