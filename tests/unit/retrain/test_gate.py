"""The gate lets through what is better beyond doubt on rows nobody was trained on, and nothing else."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from retrain.gate import Decision, Floats, decide

Gate = Callable[[Floats, Mapping[str, Floats], Floats], Decision]
ROWS = 400


def losses(mean: float, spread: float = 0.1, *, rows: int = ROWS, seed: int = 0) -> Floats:
    return np.abs(np.random.default_rng(seed).normal(mean, spread, rows))


def gate(champion: Floats, challengers: Mapping[str, Floats], trivial: Floats) -> Decision:
    return decide(champion, challengers, trivial, minimum_improvement=0.02, seed=0)


def without_the_interval(champion: Floats, challengers: Mapping[str, Floats], trivial: Floats) -> Decision:
    """Broken: a lower mean is enough, however the rows differ."""
    means = {name: np.full_like(values, values.mean()) for name, values in challengers.items()}
    return gate(np.full_like(champion, champion.mean()), means, trivial)


def on_training_rows(champion: Floats, challengers: Mapping[str, Floats], trivial: Floats) -> Decision:
    """Broken: a challenger is judged where it has learnt the answers."""
    return gate(champion, {name: values * 0.1 for name, values in challengers.items()}, trivial)


def without_the_trivial(champion: Floats, challengers: Mapping[str, Floats], trivial: Floats) -> Decision:
    """Broken: better than a champion that is worse than nothing is good enough."""
    return gate(champion, challengers, trivial + 1e9)


def on_one_number(champion: Floats, challengers: Mapping[str, Floats], trivial: Floats) -> Decision:
    """Broken: what is not a number counts as no loss at all."""
    return gate(champion, {name: np.nan_to_num(values) for name, values in challengers.items()}, trivial)


def wrongly_promoted(judge: Gate) -> list[str]:
    """Which of the challengers that prove nothing `judge` lets through."""
    champion, trivial = losses(1.0, seed=1), losses(3.0, seed=2)
    few = losses(1.0, rows=20, seed=3)
    broken = np.where(np.arange(ROWS) % 100 == 0, np.nan, 0.9)
    cases = {
        "worse": (champion, losses(1.1, seed=4), trivial),
        "equal": (champion, champion.copy(), trivial),
        "hardly better": (champion, champion - 0.01, trivial),
        "lucky": (few, few - np.tile([3.0, -2.6], 10), trivial[:20]),
        "no better than nothing": (champion, losses(0.5, seed=6), losses(0.4, seed=7)),
        "not a number": (champion, broken, trivial),
    }
    return [name for name, (before, after, nothing) in cases.items() if judge(before, {"one": after}, nothing).promote]


def test_a_better_challenger_is_promoted_with_the_numbers() -> None:
    decision = gate(losses(1.0, seed=1), {"everything": losses(0.5, seed=2)}, losses(3.0, seed=3))
    assert decision.promote
    assert decision.improvement == pytest.approx(0.5, abs=0.02)
    assert 0.4 < decision.improvement_low < decision.improvement < decision.improvement_high < 0.6
    assert len(decision.reasons) == 1
    assert "below the champion's" in decision.reasons[0]


def test_what_proves_nothing_is_refused() -> None:
    assert wrongly_promoted(gate) == []


@pytest.mark.parametrize(
    ("broken", "case"),
    [
        (without_the_interval, "lucky"),
        (on_training_rows, "worse"),
        (without_the_trivial, "no better than nothing"),
        (on_one_number, "not a number"),
    ],
)
def test_the_check_sees_a_gate_that_is_broken(broken: Gate, case: str) -> None:
    assert case in wrongly_promoted(broken)


def test_a_worse_challenger_is_refused_with_every_reason() -> None:
    decision = gate(losses(1.0, seed=1), {"everything": losses(4.0, seed=2)}, losses(3.0, seed=3))
    loss, gain, trivial = decision.reasons
    assert "is not 2% below the champion's" in loss
    assert "the gain is not certain: its 90 % interval is -3" in gain
    assert "of a trivial predictor" in trivial


def test_the_best_of_several_challengers_is_judged_and_all_are_told() -> None:
    challengers = {
        "everything": losses(0.9, seed=2),
        "newest_half": losses(0.3, seed=3),
        "broken": np.full(ROWS, np.nan),
    }
    decision = gate(losses(1.0, seed=1), challengers, losses(3.0, seed=4))
    assert (decision.promote, decision.challenger) == (True, "newest_half")
    assert set(decision.losses) == {"champion", "trivial", "everything", "newest_half", "broken"}


def test_a_challenger_that_is_not_a_number_does_not_hide_a_good_one() -> None:
    challengers = {"broken": np.full(ROWS, np.nan), "newest_half": losses(0.3, seed=3)}
    assert gate(losses(1.0, seed=1), challengers, losses(3.0, seed=4)).challenger == "newest_half"


def test_a_champion_without_a_fault_stays() -> None:
    decision = gate(np.zeros(ROWS), {"everything": np.zeros(ROWS)}, losses(1.0))
    assert not decision.promote
    assert decision.improvement == 0


def test_a_decision_describes_all_it_looked_at_in_json_types() -> None:
    challenger = losses(0.5, seed=2)
    told = gate(losses(1.0, seed=1), {"everything": challenger}, losses(3.0, seed=3)).describe()
    assert told["outcome"] == "promoted"
    assert told["holdout_rows"] == ROWS
    assert told["losses"]["everything"] == float(challenger.mean())
    assert told["improvement"] == 1 - told["losses"]["everything"] / told["losses"]["champion"]
    assert {"reasons", "improvement_low", "improvement_high", "challenger", "promote"} <= set(told)


def test_the_same_losses_and_seed_give_the_same_decision() -> None:
    judged = [gate(losses(1.0, seed=1), {"one": losses(0.98, seed=2)}, losses(3.0, seed=3)) for _ in range(2)]
    assert judged[0] == judged[1]
