"""Corrupted versions: sound ones copied under a new number and then changed, by somebody who could write here or there.

`signed` says what was changed to fit: nothing; the manifest too; or the manifest and the ledger, so that every digest holds
and only the artefact itself can be refused. Equal seeds make equal corruptions.
"""

import hashlib
import itertools
import json
import os
import random
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from lifecycle.errors import ArtefactRejected
from lifecycle.model_store import MANIFEST, LocalModelStore
from lifecycle.records import ModelVersion

SLOWEST_SECONDS = 5.0
HUGE_BYTES = 2**40
Signed = Literal["nothing", "manifest", "both"]


@dataclass
class Place:
    """The folder of a version to be corrupted, beside that of another; code that runs would make `marker`."""

    folder: Path
    other: Path
    marker: Path
    turns: random.Random
    will_be_signed: bool = False
    claims: dict[str, Any] = field(default_factory=dict)
    """What the manifest will say when it is signed, whatever is true."""

    def path(self) -> Path:
        """One of the files."""
        return self.turns.choice(self.paths())

    def paths(self) -> list[Path]:
        """All files; without the manifest when signing will write that anew."""
        return sorted(path for path in self.folder.iterdir() if path.name != MANIFEST or not self.will_be_signed)

    def manifest(self) -> dict[str, Any]:
        """What the manifest says now."""
        found: dict[str, Any] = json.loads((self.folder / MANIFEST).read_bytes())
        return found

    def only(self, *names: str) -> None:
        """Take every other file away that a model could be opened from."""
        for name in {"model.skops", "model.joblib", "model.onnx", "compiled.json"} - set(names):
            (self.folder / name).unlink(missing_ok=True)

    def sign(self) -> str:
        """Rewrite the manifest to fit the files, and to the claims; returns its digest."""
        path = self.folder / MANIFEST
        if "whole" in self.claims:
            content = self.claims["whole"]
        else:
            plain = [item for item in self.folder.iterdir() if item.name != MANIFEST and _is_small(item)]
            files = {item.name: hashlib.sha256(item.read_bytes()).hexdigest() for item in plain}
            sizes = {item.name: item.stat().st_size for item in plain}
            content = json.dumps({**self._facts(), "files": files, "sizes": sizes, **self.claims}).encode()
        _clear(path)
        path.write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    def _facts(self) -> dict[str, Any]:
        try:
            return self.manifest() if _is_small(self.folder / MANIFEST) else {}
        except ValueError:
            return {}


Change = Callable[[Place], None]


@dataclass(frozen=True)
class Corruption:
    """One change to a version; `kind` names it."""

    kind: str
    signed: Signed
    change: Change


def forge(
    store: LocalModelStore, sound: ModelVersion, other: ModelVersion, number: int, corruption: Corruption, marker: Path
) -> ModelVersion:
    """Version `number`: a copy of `sound`, corrupted; its entry as the ledger would hold it."""
    source = store.open(sound.number, sound.manifest_digest)

    def fill(folder: Path) -> dict[str, Any]:
        for path in source.iterdir():
            if path.name != MANIFEST:
                shutil.copyfile(path, folder / path.name)
        return store.facts(sound.number, sound.manifest_digest)

    digest = store.publish(number, fill)
    folder = source.with_name(f"{number:06d}")
    beside = store.open(other.number, other.manifest_digest)
    place = Place(folder, beside, marker, random.Random(number), will_be_signed=corruption.signed != "nothing")
    corruption.change(place)
    if corruption.signed != "nothing":
        signed = place.sign()
        digest = signed if corruption.signed == "both" else digest
    return replace(sound, number=number, manifest_digest=digest)


def sound_copy() -> Corruption:
    """No corruption at all: what a check must let through."""
    return Corruption("sound", "both", lambda _: None)


def corruptions(count: int, seed: int, crafted: Sequence[Corruption] = ()) -> Iterator[Corruption]:
    """All of `crafted`, and then random ones of every kind in turn, for `count` in all."""
    yield from itertools.islice(crafted, count)
    turns = random.Random(seed)
    for change in itertools.islice(itertools.cycle(CHANGES), max(0, count - len(crafted))):
        yield Corruption(change.__name__.strip("_"), turns.choice(("nothing", "manifest")), change)


def _truncated(place: Place) -> None:
    path = place.path()
    os.truncate(path, place.turns.randrange(path.stat().st_size))


def _emptied(place: Place) -> None:
    os.truncate(place.path(), 0)


def _flipped(place: Place) -> None:
    path = place.path()
    content = bytearray(path.read_bytes())
    for _ in range(place.turns.choice((1, 1, 2, 16))):
        content[place.turns.randrange(len(content))] ^= 1 << place.turns.randrange(8)
    if bytes(content) == path.read_bytes():
        content[0] ^= 1  # the same bit twice
    path.write_bytes(content)


def _inserted(place: Place) -> None:
    path = place.path()
    content, at = path.read_bytes(), place.turns.randrange(path.stat().st_size + 1)
    path.write_bytes(content[:at] + place.turns.randbytes(place.turns.randrange(1, 64)) + content[at:])


def _zeroed(place: Place) -> None:
    path = place.path()
    content = bytearray(path.read_bytes())
    at = place.turns.randrange(len(content))
    content[at : at + 64] = b"\0" * len(content[at : at + 64])
    path.write_bytes(bytes(content) if bytes(content) != path.read_bytes() else bytes(content) + b"\0")


def _exchanged(place: Place) -> None:
    """Two files of the version take each other's name."""
    first, second = place.turns.sample(place.paths(), 2)
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one + b"\n" if one == two else one)


def _of_another_version(place: Place) -> None:
    """A file that is sound, in the folder of the version that it is of; with a byte more where both have the same."""
    path = place.path()
    content = (place.other / path.name).read_bytes()
    path.write_bytes(content + b"\n" if content == path.read_bytes() else content)


def _missing(place: Place) -> None:
    place.path().unlink()


def _linked(place: Place) -> None:
    """To what would otherwise do, to a file of the system's, or to itself."""
    path = place.path()
    kept = place.folder.with_name(f"{place.folder.name}.{path.name}")
    shutil.copyfile(path, kept)
    path.unlink()
    path.symlink_to(place.turns.choice((kept, Path("/etc/passwd"), Path("/dev/zero"), path)))


def _pipe(place: Place) -> None:
    """Whoever opens it to read waits for somebody who writes."""
    path = place.path()
    path.unlink()
    os.mkfifo(path)


def _socket(place: Place) -> None:
    path = place.path()
    path.unlink()
    listening = socket.socket(socket.AF_UNIX)
    here = os.open(place.folder, os.O_RDONLY)
    try:
        listening.bind(f"/proc/self/fd/{here}/{path.name}")  # the path itself may be too long for a socket
    finally:
        os.close(here)
        listening.close()


def _folder(place: Place) -> None:
    path = place.path()
    path.unlink()
    path.mkdir()


def _huge(place: Place) -> None:
    """A terabyte, of which nothing is on the disk."""
    os.truncate(place.path(), HUGE_BYTES)


def _joined_by_another(place: Place) -> None:
    """A file that nobody registered, beside those that were."""
    name = place.turns.choice(("model.joblib", "notes.txt", "model.pkl", "sitecustomize.py"))
    (place.folder / name).write_bytes(place.turns.randbytes(50))
    place.claims["files"], place.claims["sizes"] = place.manifest()["files"], place.manifest()["sizes"]


def _swapped_digests(place: Place) -> None:
    """The manifest gives two files each other's digest."""
    files = place.manifest()["files"]
    first, second = place.turns.sample(sorted(files), 2)
    files[first], files[second] = files[second], files[first]
    place.claims["files"] = files
    place.sign()


def _gone(place: Place) -> None:
    shutil.rmtree(place.folder)
    place.folder.mkdir()


CHANGES: Sequence[Change] = (
    _truncated,
    _emptied,
    _flipped,
    _inserted,
    _zeroed,
    _exchanged,
    _of_another_version,
    _missing,
    _linked,
    _pipe,
    _socket,
    _folder,
    _huge,
    _joined_by_another,
    _swapped_digests,
    _gone,
)


def objections(
    load: Callable[[ModelVersion], object],
    version: ModelVersion,
    marker: Path,
    slowest_seconds: float = SLOWEST_SECONDS,
) -> list[str]:
    """What is wrong with how `load` treats a corrupted version: nothing when it refuses it, soon, and runs nothing of it."""
    said: list[str] = []

    def attempt() -> None:
        try:
            load(version)
        except ArtefactRejected:
            return
        except BaseException as error:
            said.append(f"it raised {type(error).__name__}: {error}")
        else:
            said.append("it was loaded")

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(slowest_seconds)
    if thread.is_alive():
        said.append("it was not done in time")
    if marker.exists():
        marker.rmdir()
        said.append("its code ran")
    return said


def _is_small(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size < HUGE_BYTES


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
