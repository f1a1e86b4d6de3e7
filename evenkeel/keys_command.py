"""`evenkeel keys`: makes, lists and revokes API keys. A key's text is printed when it is made, and never again."""

import sys
from pathlib import Path
from typing import Any, Literal

from evenkeel import show
from evenkeel.actions import person
from lifecycle.errors import ProjectInvalid
from lifecycle.keys import mint, usable
from lifecycle.project import Project
from lifecycle.records import Key, Scope
from service.access import is_loopback


def run_create(
    path: Path, scope: Scope, name: str | None, rate_per_minute: int | None, expires_days: int | None, *, as_json: bool
) -> None:
    """Make a key. Its text alone goes to standard output, so that a program can take it; the rest is notes."""
    project = Project.open(path)
    now = project.clock.now()
    key, text = mint(scope, now, name=name, rate_per_minute=rate_per_minute, expires_days=expires_days)
    project.ledger.add_key(key)
    project.ledger.audit(now, person(), "create_key", {"key": key.id, "scope": scope, "name": name})
    if as_json:
        show.as_json({**facts(key, now), "key": text})
        return
    until = f", until {show.moment(key.expires_at)}" if key.expires_at else ""
    _note(f"A key of scope {scope}{until}. It is shown this once; keep it where secrets are kept:")
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    _note("Send it with each request, as `Authorization: Bearer KEY` or as `X-API-Key: KEY`.")
    _note(f"`evenkeel keys revoke {key.id}` ends it.")
    section = project.config.service
    if section.keys == "off" or (section.keys == "auto" and is_loopback(section.host)):
        _note(
            f'The service on {section.host} asks for no key as it is configured; [service] keys = "required" makes it ask.'
        )


def run_list(path: Path, *, as_json: bool) -> None:
    """Every key, newest first."""
    project = Project.open(path)
    now = project.clock.now()
    found = [facts(key, now) for key in project.ledger.api_keys()]
    if as_json:
        show.as_json(found)
        return
    if not found:
        show.line("no keys yet; `evenkeel keys create --scope predict` makes one")
        return
    show.table(
        f"keys of {project.config.model.name}",
        ("id", "scope", "state", "made", "ends", "a minute", "name"),
        [
            (
                item["id"],
                item["scope"],
                item["state"],
                _day(item["created_at"]),
                _day(item["revoked_at"] or item["expires_at"]),
                item["rate_per_minute"],
                item["name"],
            )
            for item in found
        ],
    )


def run_revoke(path: Path, identifier: str, *, as_json: bool) -> None:
    """End a key. Raises ProjectInvalid when there is none of that id."""
    project = Project.open(path)
    now = project.clock.now()
    public = identifier.partition(".")[0]  # whoever revokes a leaked key may well paste all of it
    key = project.ledger.revoke_key(public, now)
    if key is None:
        raise ProjectInvalid("there is no key of that id in this project; `evenkeel keys list` shows them")
    if key.revoked_at == now:
        project.ledger.audit(now, person(), "revoke_key", {"key": key.id})
    if as_json:
        show.as_json(facts(key, now))
        return
    if key.revoked_at == now:
        show.line(f"key {key.id} is revoked; running services refuse it within a second")
    else:
        show.line(f"key {key.id} was revoked already, at {show.moment(key.revoked_at)}")


def facts(key: Key, now: int) -> dict[str, Any]:
    """What may be known of a key, as plain values."""
    return {
        "id": key.id,
        "name": key.name,
        "scope": key.scope,
        "state": state(key, now),
        "rate_per_minute": key.rate_per_minute,
        "created_at": show.moment(key.created_at),
        "expires_at": show.moment(key.expires_at),
        "revoked_at": show.moment(key.revoked_at),
    }


def state(key: Key, now: int) -> Literal["usable", "revoked", "expired"]:
    """What has become of a key."""
    if key.revoked_at is not None:
        return "revoked"
    return "usable" if usable(key, now) else "expired"


def _day(moment: str | None) -> str | None:
    return None if moment is None else moment[:10]


def _note(text: str) -> None:
    show.notes.print(text, markup=False)
