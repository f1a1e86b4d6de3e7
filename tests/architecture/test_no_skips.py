"""The rule that nothing is skipped in continuous integration, applied to small sample suites."""

import pytest

from tests import no_skips

SUITES = {
    "a mark": "import pytest\n@pytest.mark.skip(reason='no prometheus')\ndef test_a(): pass\n",
    "a call": "import pytest\ndef test_a(): pytest.skip('no prometheus')\n",
    "a fixture": "import pytest\n@pytest.fixture\ndef f(): pytest.skip('no prometheus')\ndef test_a(f): pass\n",
    "a module": "import pytest\npytest.skip('no prometheus', allow_module_level=True)\n",
    "an import": "import pytest\npytest.importorskip('no_such_module_at_all', reason='no prometheus')\n",
}


def _outcomes(pytester: pytest.Pytester, source: str) -> dict[str, int]:
    pytester.makepyfile(source)
    return pytester.runpytest_inprocess(plugins=[no_skips]).parseoutcomes()


@pytest.mark.parametrize("way", SUITES)
def test_a_skip_fails_in_continuous_integration(
    way: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    outcomes = _outcomes(pytester, SUITES[way])
    assert "skipped" not in outcomes
    assert outcomes.get("failed", 0) + outcomes.get("error", 0) + outcomes.get("errors", 0) == 1


@pytest.mark.parametrize("way", SUITES)
def test_a_skip_is_a_skip_elsewhere(way: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert _outcomes(pytester, SUITES[way]) == {"skipped": 1}


def test_an_expected_failure_is_not_a_skip(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    source = "import pytest\n@pytest.mark.xfail\ndef test_a(): assert False\ndef test_b(): pass\n"
    assert _outcomes(pytester, source) == {"xfailed": 1, "passed": 1}
