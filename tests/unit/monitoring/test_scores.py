import pandas as pd

from monitoring.scores import Methods, score_columns
from tests.unit.monitoring.making import DistanceOfMeans, reference, window

METHODS = Methods("wasserstein", "jensenshannon")
LIMITS = {"x": 0.1, "n": 0.1, "town": 0.1, "prediction": 0.1}


class Choosy(DistanceOfMeans):
    """Raises something unexpected over whole numbers."""

    def score(self, reference: pd.Series, current: pd.Series, method: str) -> float:
        if reference.name == "n":
            raise ZeroDivisionError("float division by zero")
        return super().score(reference, current, method)


def test_every_column_is_scored_by_the_method_of_its_kind() -> None:
    scores = score_columns(DistanceOfMeans(), METHODS, reference(), window(), LIMITS)
    methods = {score.column: score.method for score in scores}
    assert methods == dict.fromkeys(("x", "n", "prediction"), "wasserstein") | {"town": "jensenshannon"}


def test_one_bad_column_hides_no_other() -> None:
    scores = {score.column: score for score in score_columns(Choosy(), METHODS, reference(), window(), LIMITS)}
    assert scores["n"].score is None
    assert "float division by zero" in (scores["n"].finding or "")
    assert all(scores[name].score is not None for name in ("x", "town", "prediction"))


def test_a_column_without_values_is_a_finding_not_a_zero() -> None:
    scores = {
        score.column: score for score in score_columns(DistanceOfMeans(), METHODS, reference(), window(x=None), LIMITS)
    }
    assert scores["x"].score is None
    assert not scores["x"].drifted


def test_missing_values_do_not_count_as_values() -> None:
    gaps = window()
    gaps.loc[::2, "x"] = None
    scores = score_columns(DistanceOfMeans(), METHODS, reference(), gaps, LIMITS)
    assert scores[0].score is not None
    assert scores[0].score < 0.2
