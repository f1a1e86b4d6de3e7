"""`evenkeel keys`: a key's text is told once and kept nowhere; lists and the audit name keys by their ids."""

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evenkeel.__main__ import app
from evenkeel.keys_command import facts, run_create, run_list, run_revoke
from evenkeel.supervise import Supervisor
from lifecycle.errors import InputRejected, ProjectInvalid
from lifecycle.keys import digest
from lifecycle.project import Project
from service.keys import KeyRefused, Keyring

SETTINGS = '[model]\nname = "houses"\n'


@pytest.fixture
def made(tmp_path: Path) -> Project:
    (tmp_path / "evenkeel.toml").write_text(SETTINGS)
    return Project.open(tmp_path)


def create(made: Project, capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    """What `create --json` prints."""
    asked = {"scope": "predict", "name": None, "rate_per_minute": None, "expires_days": None} | options
    run_create(made.path, **asked, as_json=True)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_key_alone_is_on_standard_output_and_how_to_use_it_beside(
    made: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    run_create(made.path, "predict", "web", 60, 30, as_json=False)
    printed = capsys.readouterr()
    text = printed.out.removesuffix("\n")
    (key,) = made.ledger.api_keys()
    assert text.partition(".")[0] == key.id
    assert digest(text.partition(".")[2].encode()).hex() == key.secret_digest
    notes = " ".join(printed.err.split())
    for words in (
        "scope predict, until 20",
        "this once",
        "Authorization: Bearer KEY",
        f"evenkeel keys revoke {key.id}",
    ):
        assert words in notes
    assert text not in notes


@pytest.mark.parametrize(
    ("settings", "said"),
    [("", True), ('keys = "required"', False), ('keys = "off"\nhost = "10.0.0.5"', True), ('host = "10.0.0.5"', False)],
)
def test_it_says_when_the_service_would_not_ask_for_the_key(
    made: Project, capsys: pytest.CaptureFixture[str], settings: str, said: bool
) -> None:
    (made.path / "evenkeel.toml").write_text(f"{SETTINGS}[service]\n{settings}\n")
    run_create(made.path, "predict", None, None, None, as_json=False)
    assert ("asks for no key" in " ".join(capsys.readouterr().err.split())) is said


def test_a_key_that_was_made_opens_the_service(made: Project, capsys: pytest.CaptureFixture[str]) -> None:
    told = create(made, capsys)
    keyring = Keyring(made.ledger, 2)
    now = made.clock.now()
    keyring.refresh(now)
    assert keyring.check(told["key"], "predict", now) == told["id"]
    run_revoke(made.path, told["id"], as_json=False)
    keyring.refresh(now + 1_000_000)
    with pytest.raises(KeyRefused):
        keyring.check(told["key"], "predict", now + 1_000_000)


def test_the_secret_is_in_no_file_and_no_later_answer(made: Project, capsys: pytest.CaptureFixture[str]) -> None:
    told = create(made, capsys, name="web")
    secret = told["key"].partition(".")[2]
    run_list(made.path, as_json=True)
    run_list(made.path, as_json=False)
    run_revoke(made.path, told["id"], as_json=True)
    assert secret not in capsys.readouterr().out
    kept = b"".join(path.read_bytes() for path in made.path.rglob("*") if path.is_file())
    assert told["id"].encode() in kept
    assert secret.encode() not in kept


def test_the_list_tells_what_each_key_opens_and_whether_it_still_does(
    made: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    run_list(made.path, as_json=False)
    assert "no keys yet" in capsys.readouterr().out
    first = create(made, capsys, scope="admin", name="[bold]ops", rate_per_minute=60)
    second = create(made, capsys, scope="feedback", expires_days=1)
    run_revoke(made.path, first["id"], as_json=False)
    capsys.readouterr()
    run_list(made.path, as_json=True)
    listed = json.loads(capsys.readouterr().out)
    assert [(item["id"], item["scope"], item["state"]) for item in listed] == [
        (second["id"], "feedback", "usable"),
        (first["id"], "admin", "revoked"),
    ]
    assert not any(set(item) & {"key", "secret_digest"} for item in listed)
    run_list(made.path, as_json=False)
    page = capsys.readouterr().out
    for words in (first["id"], second["id"], "revoked", "usable", "60", "[bold]ops"):
        assert words in page, "ids are whole at any width, and text is never read as markup"
    ended = next(key for key in made.ledger.api_keys() if key.id == second["id"])
    assert facts(ended, ended.expires_at or 0)["state"] == "expired"


def test_revoking_again_changes_nothing_and_says_since_when(made: Project, capsys: pytest.CaptureFixture[str]) -> None:
    told = create(made, capsys)
    run_revoke(made.path, told["id"], as_json=False)
    assert "is revoked; running services refuse it within a second" in " ".join(capsys.readouterr().out.split())
    before = made.ledger.api_keys()
    run_revoke(made.path, told["key"], as_json=False)
    printed = " ".join(capsys.readouterr().out.split())
    assert f"key {told['id']} was revoked already, at 20" in printed
    assert told["key"] not in printed
    assert made.ledger.api_keys() == before


def test_an_unknown_id_is_refused_without_repeating_what_may_be_a_secret(made: Project) -> None:
    with pytest.raises(ProjectInvalid, match="no key of that id in this project; `evenkeel keys list`") as caught:
        run_revoke(made.path, "ek_none.secret", as_json=False)
    assert "secret" not in str(caught.value)


def test_a_name_that_cannot_be_shown_makes_no_key(made: Project) -> None:
    with pytest.raises(InputRejected, match="printable"):
        run_create(made.path, "predict", "a\nb", None, None, as_json=True)
    assert made.ledger.api_keys() == []


def test_the_audit_names_person_and_key_and_never_the_secret(made: Project, capsys: pytest.CaptureFixture[str]) -> None:
    told = create(made, capsys, name="web")
    run_revoke(made.path, told["id"], as_json=True)
    run_revoke(made.path, told["id"], as_json=True)
    revoked, created = made.ledger.audit_trail()
    assert (created["action"], created["detail"]) == (
        "create_key",
        {"key": told["id"], "scope": "predict", "name": "web"},
    )
    assert (revoked["action"], revoked["detail"]) == ("revoke_key", {"key": told["id"]})
    assert created["actor"] == revoked["actor"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("create",),
        ("create", "--scope", "root"),
        ("create", "--scope", "predict", "--rate-per-minute", "0"),
        ("create", "--scope", "predict", "--expires-days", "0"),
        ("revoke",),
    ],
    ids=" ".join,
)
def test_a_wrong_option_ends_with_code_2_and_makes_nothing(made: Project, arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["keys", *arguments, "--project", str(made.path)])
    assert result.exit_code == 2
    assert made.ledger.api_keys() == []


def test_the_command_line_creates_lists_and_revokes(made: Project) -> None:
    def run(*arguments: str) -> Any:
        result = CliRunner().invoke(app, ["keys", *arguments, "--project", str(made.path), "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    told = run("create", "--scope", "admin", "--name", "ops", "--rate-per-minute", "60", "--expires-days", "30")
    assert (told["scope"], told["name"], told["rate_per_minute"], told["state"]) == ("admin", "ops", 60, "usable")
    assert run("revoke", told["id"])["state"] == "revoked"
    assert [item["id"] for item in run("list")] == [told["id"]]


def test_a_flag_of_one_child_reaches_it_alone(made: Project) -> None:
    for name in ("first", "second"):
        (made.path / f"{name}.py").write_text(
            f"import sys\nopen('{name}.new', 'w').write(' '.join(sys.argv[1:]))\n"
            f"import os\nos.replace('{name}.new', '{name}.txt')\n"
        )
    ports = free_ports(2)
    (made.path / "evenkeel.toml").write_text(
        f"{SETTINGS}[service]\nport = {ports[0]}\n[monitoring]\nport = {ports[1]}\n"
    )
    stop = threading.Event()
    written = [made.path / "first.txt", made.path / "second.txt"]
    looks = iter(range(150))

    def tick() -> None:
        if all(path.exists() for path in written) or next(looks, None) is None:
            stop.set()

    modules = {"first": "first", "second": "second"}
    Supervisor(Project.open(made.path), stop, modules, flags={"first": ("--insecure",)}).run(tick)
    assert [path.read_text().endswith(" --insecure") for path in written] == [True, False]


def free_ports(count: int) -> list[int]:
    """Ports that the kernel had free a moment ago."""
    found = []
    for _ in range(count):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            found.append(int(probe.getsockname()[1]))
    return found
