"""Looking for a token in the bytes of files: as they are on disk, and unpacked where Parquet or an archive packs them.

It knows of no table and no manifest: whatever file lies in a folder is looked through, so nothing is overlooked because
nobody refers to it. A file that cannot be unpacked is named, for it proves nothing.
"""

import mmap
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lifecycle.feature_log.frames import MAGIC, read_segment
from lifecycle.feature_log.storage import LOG, Storage

Content = bytes | mmap.mmap
Opened = Callable[[], pa.NativeFile]
_SEGMENT = MAGIC.rsplit(b"-", 1)[0]
_PARQUET, _ARCHIVE = b"PAR1", b"PK\x03\x04"
_MOMENT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Traces:
    """What was looked through, and what was found: files that hold the token, and those that could not be unpacked.

    `later` are files that hold it only in rows recorded after the moment that was asked about.
    """

    files: int = 0
    bytes: int = 0
    found: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    def __add__(self, other: "Traces") -> "Traces":
        return Traces(
            self.files + other.files,
            self.bytes + other.bytes,
            self.found + other.found,
            self.later + other.later,
            self.unreadable + other.unreadable,
        )

    @property
    def clean(self) -> bool:
        return not self.found and not self.unreadable


def search(folders: Iterable[Path], token: str, *, until: int) -> Traces:
    """Look for `token` in every file under `folders`, in what was recorded up to `until` (microseconds since 1970).

    Memory is bounded by the text of one row group. A file that vanishes meanwhile is left out.
    """
    total = Traces()
    for path in sorted({path for folder in folders for path in _files(folder)}):
        try:
            total += _look_at_file(path, token.encode(), until)
        except FileNotFoundError:
            continue
    return total


def search_storage(storage: Storage, token: str, *, until: int) -> Traces:
    """The same for all that a table has in an object store, a file at a time."""
    total = Traces()
    for path, content in _stored(storage):
        opened = partial(pa.BufferReader, content)
        total += _look(f"{storage.url}/{path}", content, opened, token.encode(), until)
    return total


def _stored(storage: Storage) -> Iterator[tuple[str, bytes]]:
    for path in storage.paths():
        with storage.read(path) as file:
            yield path, file.read()
    for name in storage.log_names():
        yield f"{LOG}/{name}", storage.read_log(name)


def _files(folder: Path) -> Iterator[Path]:
    """Links are not followed: what they lead to is not kept here."""
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _look_at_file(path: Path, token: bytes, until: int) -> Traces:
    with path.open("rb") as file:
        if not file.seek(0, 2):
            return Traces(files=1)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _look(str(path), content, lambda: pa.OSFile(str(path)), token, until)


def _look(name: str, content: Content, opened: Opened, token: bytes, until: int) -> Traces:
    raw = content.find(token) >= 0
    try:
        state = _state(content, opened, token, until, raw=raw)
    except (OSError, ValueError, pa.ArrowException, zipfile.BadZipFile):
        state = "found" if raw else "unreadable"
    found = {state: (name,)} if state else {}
    return Traces(1, len(content), **found)


def _state(content: Content, opened: Opened, token: bytes, until: int, *, raw: bool) -> str | None:
    """The field of Traces that the file belongs in, if any."""
    begin = content[: len(_SEGMENT)]
    if begin == _SEGMENT:
        return _in_segment(content[:], token, until) if raw else None
    if begin.startswith(_PARQUET):
        return _in_parquet(opened, token, until, raw=raw)
    if begin.startswith(_ARCHIVE):
        return "found" if raw or _in_archive(opened, token) else None
    return "found" if raw else None


def _in_segment(content: bytes, token: bytes, until: int) -> str:
    """Every occurrence must be a row recorded later."""
    subject, later = token.decode(), 0
    for batch in read_segment(content, sealed=False).predictions:
        if batch.at > until:
            later += (batch.subjects or []).count(subject)
    return "later" if later == content.count(token) else "found"


def _in_parquet(opened: Opened, token: bytes, until: int, *, raw: bool) -> str | None:
    pattern = re.compile(re.escape(token))
    with opened() as packed, pq.ParquetFile(packed) as file:
        texts = [field.name for field in file.schema_arrow if not pa.types.is_primitive(field.type)]
        subjects = {"subject", "at"} <= set(file.schema_arrow.names)
        others = [name for name in texts if not (subjects and name == "subject")]
        later = False
        for group in range(file.num_row_groups):
            if any(_holds(file, group, name, pattern) for name in others):
                return "found"
            if subjects:
                rows = file.read_row_group(group, columns=["subject", "at"])
                moments = rows.filter(pc.equal(rows["subject"], token.decode()))["at"]
                later |= len(moments) > 0
                if pc.any(pc.less_equal(moments, pa.scalar(until, _MOMENT).cast(moments.type))).as_py():
                    return "found"
    if later:
        return "later"
    return "found" if raw else None


def _holds(file: pq.ParquetFile, group: int, name: str, pattern: re.Pattern[bytes]) -> bool:
    """Whether a column's values, unpacked, hold the pattern anywhere."""
    columns = file.read_row_group(group, columns=[name])
    return any(pattern.search(buffer) for column in columns.columns for buffer in _buffers(column))


def _buffers(column: pa.ChunkedArray) -> Iterator[pa.Buffer]:
    for chunk in column.chunks:
        yield from (buffer for buffer in chunk.buffers() if buffer is not None)
        if pa.types.is_dictionary(chunk.type):
            yield from (buffer for buffer in chunk.dictionary.buffers() if buffer is not None)


def _in_archive(opened: Opened, token: bytes) -> bool:
    with opened() as packed, zipfile.ZipFile(packed) as archive:
        return any(token in archive.read(name) for name in archive.namelist())
