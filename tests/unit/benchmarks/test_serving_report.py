"""What the benchmark of serving says about its measurements: the arithmetic, the goals, the page."""

from typing import Any

import pytest

from benchmarks.serving import goals, open_loop, report, wrk
from benchmarks.serving.proof import NotServed, prove
from benchmarks.serving.results import Results
from benchmarks.serving.samples import Spread, latency, spread

MEASURED = (
    'MEASURED {"requests": 5000, "microseconds": 2000000, "bytes": 10, "p50_us": 400, "p90_us": 600, "p99_us": 900, '
    '"p999_us": 1500, "max_us": 4000, "errors": {"connect": 0, "read": 1, "write": 0, "status": %d, "timeout": 0}}'
)

MACHINE = {
    "processor": "One",
    "cores": 2,
    "memory_gib": 8.0,
    "kernel": "Linux 6",
    "python": "3.11.7",
    "wrk": "4.1",
    "load": 0.1,
}


def sample(entrant: str, rate: float, *, repeat: int = 0, errors: int = 0, p50: float = 1.0, p99: float = 2.0) -> Any:
    return {
        "model": "forest",
        "rows": 1,
        "connections": 16,
        "entrant": entrant,
        "repeat": repeat,
        "requests": 100,
        "requests_per_s": rate,
        "latency_ms": {"p50": p50, "p90": 1.5, "p99": p99, "p999": 3.0, "max": 4.0},
        "errors": errors,
    }


def raw(*closed: Any) -> dict[str, Any]:
    entrants = list(dict.fromkeys(item["entrant"] for item in closed))
    return {
        "measured_at": "2026-11-20T10:00:00+00:00",
        "took_s": 120,
        "settings": {
            "seconds": 1,
            "repeats": 3,
            "rows": [1],
            "connections": [16],
            "models": {"forest": "Random forest"},
            "entrants": entrants,
            "peers": [name for name in entrants if name.startswith("peer")],
        },
        "machine": MACHINE,
        "closed": list(closed),
        "open": [],
        "servers": [{"model": "forest", "server": "evenkeel", "ready_s": 2.5, "processes": []}],
        "failures": [],
        "versions": {"evenkeel": {"python": "3.11.7"}},
    }


def goal(what: str, *closed: Any) -> goals.Goal:
    return next(item for item in goals.judge(Results.read(raw(*closed))) if what in item.what)


def test_the_middle_of_several_repeats_comes_with_their_ends() -> None:
    assert spread([30.0, 10.0, 20.0]) == Spread(20.0, 10.0, 30.0)
    assert spread([10.0, 20.0]).median == 15.0


def test_percentiles_are_values_that_were_measured() -> None:
    measured = latency([number / 1000 for number in range(1, 101)])
    assert (measured.p50, measured.p90, measured.p99, measured.max) == (50.0, 90.0, 99.0, 100.0)
    assert latency([0.002]).p999 == 2.0


def test_what_wrk_prints_is_read_as_rates_and_milliseconds() -> None:
    closed = wrk.parse("Running 2s test\n" + MEASURED % 0 + "\n")
    assert closed.requests_per_s == 2500.0
    assert (closed.latency.p50, closed.latency.p99, closed.latency.max) == (0.4, 0.9, 4.0)


def test_every_kind_of_error_counts() -> None:
    assert wrk.parse(MEASURED % 7).errors == 8


def test_output_without_a_measurement_is_refused() -> None:
    with pytest.raises(wrk.LoadFailed, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1")


def test_right_labels_prove_a_server() -> None:
    prove([0, 1, 1], [0, 1, 1])


@pytest.mark.parametrize(
    ("found", "sentence"), [([0, 1, 0], "1 of its 3"), ([0, 1], "2 labels for 3"), ([], "0 labels")]
)
def test_a_server_that_errs_is_not_measured(found: list[int], sentence: str) -> None:
    with pytest.raises(NotServed, match=sentence):
        prove(found, [0, 1, 1])


def test_arrivals_keep_their_rate_and_order_whatever_the_answers_do() -> None:
    moments = open_loop.arrivals(500.0, 10.0, seed=1)
    assert moments == sorted(moments)
    assert moments[-1] < 10.0
    assert 4_700 < len(moments) < 5_300
    assert moments == open_loop.arrivals(500.0, 10.0, seed=1)
    assert moments != open_loop.arrivals(500.0, 10.0, seed=2)


def test_a_slow_server_still_gets_one_request() -> None:
    assert len(open_loop.arrivals(0.001, 1.0, seed=1)) == 1


def test_the_open_loop_runs_at_half_the_peak_or_what_the_client_can_send() -> None:
    assert open_loop.allowed_rate(1_000.0) == 500.0
    assert open_loop.allowed_rate(1e6) == open_loop.MOST_PER_SECOND


def test_a_request_is_complete_http() -> None:
    assert open_loop.http_request("/predict", b"{}", "application/json", None) == (
        b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )


def test_a_goal_compares_medians_with_the_fastest_peer() -> None:
    ours = [sample("evenkeel", rate, repeat=index) for index, rate in enumerate((900.0, 1_000.0, 5_000.0))]
    found = goal("fastest peer", *ours, sample("peer a", 100.0), sample("peer b", 50.0))
    assert (found.measured, found.met) == ("10.00x of peer a", True)


def test_a_goal_that_is_missed_says_so() -> None:
    found = goal("fastest peer", sample("evenkeel", 999.0), sample("peer a", 100.0))
    assert (found.measured, found.met) == ("9.99x of peer a", False)


def test_an_error_in_any_repeat_fails_the_cell() -> None:
    ours = [sample("evenkeel", 5_000.0), sample("evenkeel", 5_000.0, repeat=1, errors=1)]
    assert goal("fastest peer", *ours, sample("peer a", 100.0)).measured is None


def test_a_peer_that_errs_is_not_the_one_to_beat() -> None:
    found = goal(
        "fastest peer", sample("evenkeel", 2_000.0), sample("peer a", 9_000.0, errors=3), sample("peer b", 100.0)
    )
    assert found.measured == "20.00x of peer b"


def test_without_a_peer_nothing_is_claimed() -> None:
    found = goal("fastest peer", sample("evenkeel", 2_000.0))
    assert (found.measured, found.met) == (None, False)


def test_the_tail_is_held_against_the_quickest_middle() -> None:
    peers = (sample("peer a", 900.0, p50=3.0), sample("peer b", 100.0, p50=1.9))
    assert not goal("p99", sample("evenkeel", 1.0, p99=2.0), *peers).met
    assert goal("p99", sample("evenkeel", 1.0, p99=1.8), *peers).met


def test_the_feature_logs_cost_is_a_share_of_what_is_reached_without_it() -> None:
    found = goal("feature log", sample("evenkeel", 960.0), sample("evenkeel without log", 1_000.0))
    assert (found.measured, found.met) == ("4.0%", True)
    assert not goal("feature log", sample("evenkeel", 940.0), sample("evenkeel without log", 1_000.0)).met


def test_a_log_that_seems_to_speed_things_up_is_a_disturbed_measurement() -> None:
    found = goal("feature log", sample("evenkeel", 1_500.0), sample("evenkeel without log", 1_000.0))
    assert (found.measured, found.met) == ("-50.0%, so the machine was not quiet", False)


def test_the_page_shows_medians_spread_and_ratio() -> None:
    closed = [sample("evenkeel", rate, repeat=index) for index, rate in enumerate((1_900.0, 2_000.0, 2_100.0))]
    page = report.text(raw(*closed, sample("peer a", 100.0)), "")
    assert "| 1 | 16 | evenkeel | 2,000 (1,900 to 2,100) | 2,000 | 1.00 | 2.00 | 0 | 20.00x |" in page


def test_a_failed_cell_shows_no_speed() -> None:
    page = report.text(raw(sample("evenkeel", 2_000.0, errors=4), sample("peer a", 100.0)), "")
    assert "| 1 | 16 | evenkeel | failed | - | - | - | 4 | - |" in page


def test_notes_outlive_a_new_run() -> None:
    first = report.text(raw(sample("evenkeel", 1.0)), "Said by a person.\n\nTwice.")
    assert report.kept_notes(first) == "Said by a person.\n\nTwice."
    assert report.text(raw(sample("evenkeel", 1.0)), report.kept_notes(first)) == first


def test_what_could_not_be_measured_is_on_the_page() -> None:
    numbers = raw(sample("evenkeel", 1.0))
    numbers["failures"] = [{"model": "forest", "entrant": "peer a", "reason": "it ended with 1 | early"}]
    assert "- forest, peer a: it ended with 1 / early" in report.text(numbers, "")
