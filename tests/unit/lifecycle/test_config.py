"""The configuration: one frozen tree, and errors that name the key and the way out."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lifecycle.config import Config, keys, load, parse
from lifecycle.errors import ConfigInvalid

MINIMAL: dict[str, Any] = {"model": {"name": "houses"}}


def test_a_minimal_file_is_enough(tmp_path: Path) -> None:
    (tmp_path / "evenkeel.toml").write_text('[model]\nname = "houses"\n')
    config = load(tmp_path, {})
    assert config.model.name == "houses"
    assert config.service.port == 3000


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        ({"model": {"name": "a"}, "servise": {}}, r"unknown section \[servise\]; did you mean 'service'\?"),
        ({"model": {"name": "a"}, "service": {"prot": 1}}, r"unknown key 'prot' in \[service\]; did you mean 'port'\?"),
        ({"model": {"name": "a"}, "alerts": {"zzz": 1}}, r"unknown key 'zzz' in \[alerts\]; known: targets, attempts"),
        ({}, r"lacks 'the section' in \[model\]; add it"),
        ({"model": {}}, r"lacks 'name' in \[model\]; add it"),
        (
            {"model": {"name": "a"}, "service": {"port": 70_000}},
            r"\[service\] port: .*less than or equal to 65535.*'70000'",
        ),
        ({"model": {"name": "../x"}}, r"\[model\] name: .*pattern.*'\.\./x'"),
        ({"model": {"name": "a"}, "service": 3}, r"\[service\]"),
        ({"model": {"name": "a"}, "retrain": {"mode": "on"}}, r"\[retrain\] mode: .*'auto' or 'off'.*'on'"),
    ],
)
def test_a_wrong_file_gets_a_sentence(tree: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigInvalid, match=sentence):
        parse(tree, {})


def test_no_file_and_a_broken_file_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="evenkeel init DIR"):
        load(tmp_path, {})
    (tmp_path / "evenkeel.toml").write_text("[model\n")
    with pytest.raises(ConfigInvalid, match="not valid TOML"):
        load(tmp_path, {})
    (tmp_path / "evenkeel.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigInvalid, match="not valid TOML"):
        load(tmp_path, {})


def test_every_key_can_be_set_from_the_environment() -> None:
    for section, key, default, _ in keys():
        value = "houses" if default is None else default
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        config = parse(MINIMAL, {f"EVENKEEL_{section.upper()}__{key.upper()}": text})
        found = getattr(getattr(config, section), key)
        assert (found, type(found)) == (value, type(value)) or isinstance(value, int), (section, key)


def test_the_environment_wins_over_the_file() -> None:
    tree = MINIMAL | {"service": {"port": 4000, "workers": 3}}
    config = parse(tree, {"EVENKEEL_SERVICE__PORT": "5000"})
    assert (config.service.port, config.service.workers) == (5000, 3)
    assert tree["service"]["port"] == 4000


@pytest.mark.parametrize("text", ["json://a,mailto://b", '["json://a", "mailto://b"]'])
def test_a_list_from_the_environment_is_json_or_separated_by_commas(text: str) -> None:
    assert parse(MINIMAL, {"EVENKEEL_ALERTS__TARGETS": text}).alerts.targets == ("json://a", "mailto://b")


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "EVENKEEL_SERVICE__PROT",
            "1",
            r"sets EVENKEEL_SERVICE__PROT, but \[service\] has no key 'prot'; did you mean 'port'",
        ),
        ("EVENKEEL_SERVISE__PORT", "1", r"there is no section \[servise\]; did you mean 'service'"),
        ("EVENKEEL_SERVICE__PORT", "many", r"\[service\] port: .*valid integer.*'many'"),
        ("EVENKEEL_ALERTS__TARGETS", "[oops", "EVENKEEL_ALERTS__TARGETS is not a JSON list"),
    ],
)
def test_a_wrong_variable_gets_a_sentence(variable: str, value: str, sentence: str) -> None:
    with pytest.raises(ConfigInvalid, match=sentence):
        parse(MINIMAL, {variable: value})


def test_a_variable_for_a_section_that_the_file_has_as_a_value_gets_a_sentence() -> None:
    with pytest.raises(ConfigInvalid, match=r"\[service\]"):
        parse(MINIMAL | {"service": 3}, {"EVENKEEL_SERVICE__PORT": "5000"})


def test_variables_of_other_kinds_are_left_alone() -> None:
    assert parse(MINIMAL, {"EVENKEEL_PARENT_PID": "5", "HOME": "/root", "OTHER__KEY": "1"}) == parse(MINIMAL, {})


def test_the_tree_is_frozen() -> None:
    config = Config.model_validate(MINIMAL)
    with pytest.raises(ValidationError):
        config.service.port = 1  # type: ignore[misc]
