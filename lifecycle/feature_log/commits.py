"""Checksums of the engine's own log, which has none: each commit carries one of what it says, and a checkpoint has one beside it.

A flipped bit there could make a file's rows unseen, or a segment folded twice. The writer looks at both before it relies on the
log, and `evenkeel doctor --verify` does; readers do not pay for it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import google_crc32c
import pyarrow as pa
from deltalake import CommitProperties, Schema, Transaction
from deltalake.transaction import AddAction, RemoveAction

from lifecycle.feature_log.storage import CHECKPOINT, CHECKS, Storage

KEY = "evenkeelChecksum"
"""What the checksum is called in a commit's `commitInfo`."""
BLOCK, HOLE = 512, 64
NONE = "has no checksum"


def of_files(
    added: Iterable[AddAction],
    removed: Iterable[RemoveAction],
    transactions: Sequence[Transaction],
) -> CommitProperties:
    """The properties of a commit of files, with `transactions`."""
    said = [
        *(["add", one.path, one.size, dict(one.partition_values), one.data_change, one.stats] for one in added),
        *(["remove", one.path, one.data_change, one.size] for one in removed),
        *(["txn", one.app_id, one.version] for one in transactions),
    ]
    return _properties(said, list(transactions))


def of_columns(
    schema: pa.Schema, partitions: Sequence[str], configuration: Mapping[str, str | None]
) -> CommitProperties:
    """The properties of a commit that makes a table, or gives it the columns of `schema`."""
    columns = json.loads(Schema.from_arrow(schema).to_json())
    return _properties([["metaData", columns, list(partitions), dict(configuration)]], None)


def problem(commit: bytes) -> str | None:
    """What is wrong with a commit, or None. A commit without a checksum was made by somebody else, or is damaged."""
    try:
        lines = [json.loads(line) for line in commit.splitlines()]
        said = [found for line in lines for found in _said(line)]
        noted = [line["commitInfo"].get(KEY) for line in lines if "commitInfo" in line]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "cannot be read"
    if len(noted) != 1 or noted[0] is None:
        return NONE
    return None if noted[0] == _checksum(said) else "fails its checksum"


def note_checkpoint(storage: Storage) -> None:
    """Write the newest checkpoint's checksum beside it, and drop those of checkpoints that are gone."""
    names = [name for name in storage.log_names() if name.endswith(CHECKPOINT)]
    if names:
        storage.write(f"{CHECKS}/{names[-1]}", [_crc(storage.read_log(names[-1]))])
    for name in set(storage.checks()) - set(names):
        storage.remove(f"{CHECKS}/{name}")


def problems(storage: Storage) -> dict[str, str]:
    """The names of commits and checkpoints that are not as they were made, and what is wrong with each."""
    names = storage.log_names()
    found = {name: wrong for name in names if is_commit(name) and (wrong := problem(storage.read_log(name)))}
    for name in set(storage.checks()) & set(names):
        with storage.read(f"{CHECKS}/{name}") as file:
            if file.read() != _crc(storage.read_log(name)):
                found[name] = "fails its checksum"
    return found


def is_torn(commit: bytes) -> bool:
    """Whether a bad commit is as a loss of power leaves one: without bytes, with holes, or cut off where a disk's block ends."""
    return not commit or bytes(HOLE) in commit or (len(commit) % BLOCK == 0 and not commit.endswith(b"}"))


def is_commit(name: str) -> bool:
    return name.endswith(".json") and name.removesuffix(".json").isdigit()


def _crc(content: bytes) -> bytes:
    return f"{google_crc32c.value(content):08x}".encode()


def _properties(said: Sequence[Any], transactions: list[Transaction] | None) -> CommitProperties:
    return CommitProperties(custom_metadata={KEY: _checksum(said)}, max_commit_retries=0, app_transactions=transactions)


def _checksum(said: Iterable[Any]) -> str:
    texts = sorted(json.dumps(one, sort_keys=True) for one in said)
    return _crc("\n".join(texts).encode()).decode()


def _said(line: Mapping[str, Any]) -> Iterable[Any]:
    """What a line of a commit says, in the form that the checksum is of."""
    for kind, told in line.items():
        if kind == "add":
            yield ["add", told["path"], told["size"], told["partitionValues"], told["dataChange"], told["stats"]]
        elif kind == "remove":
            yield ["remove", told["path"], told["dataChange"], told["size"]]
        elif kind == "txn":
            yield ["txn", told["appId"], told["version"]]
        elif kind == "metaData":
            yield ["metaData", json.loads(told["schemaString"]), told["partitionColumns"], told["configuration"]]
        elif kind not in ("commitInfo", "protocol"):
            yield [kind, told]
