"""The command line itself."""

from importlib.metadata import version

from typer.testing import CliRunner

from evenkeel.__main__ import app


def test_the_version_is_printed() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, version("evenkeel") + "\n")


def test_without_a_command_there_is_help() -> None:
    assert "Make a project from a file" in CliRunner().invoke(app, []).output
