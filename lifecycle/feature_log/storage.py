"""Where a table's files are: a local folder, or an object store such as S3. What is written is durable on return.

Local files go through `files.py`; an object store is reached with what the environment says (`AWS_*`), and its writes are whole
or not there. Only data files are written here: the engine writes its own log, which `settle` then puts on disk.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from pyarrow.fs import FileSelector, FileType, LocalFileSystem, PyFileSystem, SubTreeFileSystem
from pyarrow.fs import FileSystem as ArrowFileSystem

from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log.files import FileSystem

LOG = "_delta_log"
CHECKPOINT, LAST_CHECKPOINT = ".checkpoint.parquet", "_last_checkpoint"
CHECKS = "_checks"
"""The folder of checkpoints' checksums, beside the engine's log; the underscore keeps other engines away from it."""
OBJECT_STORE_OPTIONS = {
    "max_retries": "3",
    "retry_timeout": "10s",
    "connect_timeout": "5s",
    "timeout": "30s",
}
"""An outage is to be noticed soon: whoever asks tries again, and meanwhile reports what waits."""
CONDITIONAL_PUT = {"conditional_put": "etag"}
"""Two commits of one version must not both succeed; S3 sees to it by the tag of what it has."""


class Storage(Protocol):
    """The files of one table, by paths relative to it. Raises StoreUnavailable while it cannot be reached."""

    @property
    def url(self) -> str:
        """What the engine opens."""

    @property
    def options(self) -> dict[str, str] | None:
        """What the engine opens it with."""

    @property
    def filesystem(self) -> ArrowFileSystem:
        """The same files, to be read by Arrow."""

    @property
    def buffered(self) -> bool:
        """Whether few large reads are better than many small ones."""

    def write(self, path: str, parts: Iterable[bytes]) -> int:
        """A whole file, durable when this returns; its size in bytes."""

    def read(self, path: str) -> pa.NativeFile:
        """Open for reading at any place; FileNotFoundError when it is gone."""

    def remove(self, path: str) -> None:
        """Gone when this returns, and harmless when it was."""

    def paths(self) -> list[str]:
        """The data files, and what else lies in the days' folders, sorted."""

    def checks(self) -> list[str]:
        """The names in the folder of checkpoints' checksums."""

    def settle(self, after: int) -> None:
        """Puts the engine's commits that follow version `after` on disk."""

    def settle_checkpoint(self) -> None:
        """Puts the engine's newest checkpoint, and its mark, on disk."""

    def has_commit(self, version: int) -> bool:
        """Whether a commit that was there still is: a table may be replaced by another under its name."""

    def log_names(self) -> list[str]:
        """The names in the engine's log, sorted."""

    def read_log(self, name: str) -> bytes:
        """One file of the engine's log."""

    def remove_log(self, name: str) -> None:
        """Takes a file out of the engine's log."""


class LocalStorage:
    """A folder of this machine."""

    options = None
    buffered = False

    def __init__(self, folder: Path, files: FileSystem) -> None:
        self.folder = folder
        self._files = files
        self._known: set[Path] = set()
        self._failed: set[Path] = set()

    @property
    def url(self) -> str:
        return str(self.folder)

    @property
    def filesystem(self) -> ArrowFileSystem:
        return SubTreeFileSystem(str(self.folder), LocalFileSystem())

    def write(self, path: str, parts: Iterable[bytes]) -> int:
        target = self.folder / path
        with _reached(self.url):
            size = self._files.write(target, parts)
            if target.parent not in self._known:
                self._files.sync_folder(self.folder)  # the day's folder may be new, and its name is in this one
                self._known.add(target.parent)
        return size

    def read(self, path: str) -> pa.NativeFile:
        return pa.OSFile(str(self.folder / path))

    def remove(self, path: str) -> None:
        target = self.folder / path
        with _reached(self.url):
            try:
                self._files.remove(target)
            except FileNotFoundError:
                return
            self._files.sync_folder(target.parent)

    def paths(self) -> list[str]:
        with _reached(self.url):
            days = [name for name in self._files.names(self.folder) if "=" in name]
            return [f"{day}/{name}" for day in days for name in self._files.names(self.folder / day)]

    def checks(self) -> list[str]:
        with _reached(self.url):
            return self._files.names(self.folder / CHECKS)

    def settle(self, after: int) -> None:
        self._sync(name for name in self.log_names() if name.endswith(".json") and name > f"{after:020d}.json")
        if after < 0:
            with _reached(self.url):  # the first commit made the folders as well
                for folder in (self.folder, self.folder.parent, self.folder.parent.parent):
                    self._files.sync_folder(folder)

    def settle_checkpoint(self) -> None:
        names = self.log_names()
        made = [name for name in names if name.endswith(CHECKPOINT)]
        self._sync([*made[-1:], *({LAST_CHECKPOINT} & set(names))])

    def has_commit(self, version: int) -> bool:
        with _reached(self.url):
            try:
                return self._files.size(self.folder / LOG / f"{version:020d}.json") > 0
            except FileNotFoundError:
                return False

    def log_names(self) -> list[str]:
        with _reached(self.url):
            return self._files.names(self.folder / LOG)

    def read_log(self, name: str) -> bytes:
        with _reached(self.url):
            return self._files.read(self.folder / LOG / name)

    def remove_log(self, name: str) -> None:
        with _reached(self.url):
            self._files.remove(self.folder / LOG / name)
            self._files.sync_folder(self.folder / LOG)

    def _sync(self, names: Iterable[str]) -> None:
        with _reached(self.url):
            for name in names:
                self._sync_one(self.folder / LOG / name)
            self._files.sync_folder(self.folder / LOG)

    def _sync_one(self, path: Path) -> None:
        """A file whose sync failed is not synced again, for that may succeed without having written: it is written anew."""
        if path in self._failed:
            self._files.write(path, [self._files.read(path)])
            self._failed.remove(path)
            return
        file = self._files.adopt(path)
        try:
            file.sync()
        except OSError:
            self._failed.add(path)
            raise
        finally:
            file.close()


class ObjectStorage:
    """A prefix in an object store. A write is there whole, and for good, once the store has answered."""

    buffered = True

    def __init__(self, url: str) -> None:
        self.url = url
        self.options = OBJECT_STORE_OPTIONS | (CONDITIONAL_PUT if _is_s3(url) else {})
        self._opened: ArrowFileSystem | None = None

    @property
    def filesystem(self) -> ArrowFileSystem:
        if self._opened is None:
            with _reached(self.url):
                self._opened = _s3(self.url) if _is_s3(self.url) else _of_engine(self.url, self.options)
        return self._opened

    def write(self, path: str, parts: Iterable[bytes]) -> int:
        size = 0
        with _reached(self.url), self.filesystem.open_output_stream(path) as sink:
            for part in parts:
                sink.write(part)
                size += len(part)
        return size

    def read(self, path: str) -> pa.NativeFile:
        return self.filesystem.open_input_file(path)

    def remove(self, path: str) -> None:
        with _reached(self.url):
            try:
                self.filesystem.delete_file(path)
            except FileNotFoundError:
                return

    def paths(self) -> list[str]:
        return sorted(path for path in self._below("") if not path.startswith("_"))

    def checks(self) -> list[str]:
        return [path.rsplit("/", 1)[-1] for path in self._below(CHECKS)]

    def settle(self, after: int) -> None:
        """The store has done so."""

    def settle_checkpoint(self) -> None:
        """The store has done so."""

    def has_commit(self, version: int) -> bool:  # noqa: ARG002 - other storages look
        """A bucket is not replaced under a running process, and looking would be a request of its own."""
        return True

    def log_names(self) -> list[str]:
        return sorted(path.rsplit("/", 1)[-1] for path in self._below(LOG))

    def read_log(self, name: str) -> bytes:
        with _reached(self.url), self.filesystem.open_input_file(f"{LOG}/{name}") as file:
            content: bytes = file.read()
            return content

    def remove_log(self, name: str) -> None:
        self.remove(f"{LOG}/{name}")

    def _below(self, folder: str) -> Iterator[str]:
        with _reached(self.url):
            found = self.filesystem.get_file_info(FileSelector(folder, allow_not_found=True, recursive=True))
        for info in found:
            if info.type == FileType.File:
                yield str(info.path).lstrip("/")


def storage_of(folder: Path, url: str, name: str, files: FileSystem) -> Storage:
    """The place of the table `name`: under `url` if that is given, else under `folder`."""
    return ObjectStorage(f"{url.rstrip('/')}/{name}") if url else LocalStorage(folder / name, files)


def plain(error: BaseException) -> str:
    """What the engine says, on one line and without the colours it says it in."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m|\u21b3", "", str(error)).split())


def _is_s3(url: str) -> bool:
    return url.startswith(("s3://", "s3a://"))


def _s3(url: str) -> ArrowFileSystem:
    """Arrow's own S3: unlike the engine's file system it lets other threads run while it waits."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    s3 = S3FileSystem(
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
        endpoint_override=endpoint,
        scheme="http" if endpoint and endpoint.startswith("http://") else "https",
        connect_timeout=5,
        request_timeout=30,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=3),
    )
    return SubTreeFileSystem(url.split("://", 1)[1], s3)


def _of_engine(url: str, options: dict[str, str]) -> ArrowFileSystem:
    from deltalake.fs import DeltaStorageHandler

    return PyFileSystem(DeltaStorageHandler(url, options))


@contextmanager
def _reached(url: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = "its bucket, credentials and network" if "://" in url else "the disk and its rights"
        raise StoreUnavailable(
            f"the table at {url.rsplit('/', 1)[-1]} cannot be read or written: {plain(error)}; check {where}"
        ) from error
