"""Segments that were put aside: whose rows they hold, taking a subject's out, and letting old ones go.

A segment is put aside whole, because frames of it are damaged or the tables could not take it. Whom damaged bytes are about
nobody can say, so an erasure takes them away with the subject's rows.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

import structlog

from lifecycle.feature_log import frames
from lifecycle.feature_log.files import FileSystem
from lifecycle.feature_log.frames import SegmentContents
from lifecycle.ids import is_uuid7, milliseconds_of
from lifecycle.records import Label, PredictionBatch

log = structlog.get_logger(__name__)


def rows_about(folder: Path, subject: str, files: FileSystem) -> Iterator[PredictionBatch]:
    """The readable rows of the segments in `folder` that are about `subject`, a token."""
    for name in _names(folder, files):
        for batch in _contents(folder / name, files).predictions:
            places = [place for place, whom in enumerate(batch.subjects or ()) if whom == subject]
            if places:
                yield batch.only(places)


def forget(
    folder: Path, subject: str, ids: AbstractSet[str], external_ids: AbstractSet[str], files: FileSystem
) -> dict[str, int]:
    """Rewrite the segments in `folder` without rows about `subject`, without labels of these predictions, and without damage.

    Returns how many rows, labels and damaged frames are gone. A segment that holds nothing then is removed.
    """
    gone = {"quarantined_rows": 0, "quarantined_labels": 0, "quarantined_damage": 0}
    for name in files.names(folder):
        if name.startswith("."):
            files.remove(folder / name)  # what was being written when its writer was killed
    for name in _names(folder, files):
        path = folder / name
        contents = _contents(path, files)
        batches = [kept for batch in contents.predictions if (kept := _others(batch, subject))]
        labels = [label for label in contents.labels if not _belongs(label, ids, external_ids)]
        rows = sum(len(batch.ids) for batch in contents.predictions) - sum(len(batch.ids) for batch in batches)
        damage = contents.corrupt_frames + (contents.torn_bytes > 0)
        if not (rows or damage or len(labels) < len(contents.labels)):
            continue
        gone["quarantined_rows"] += rows
        gone["quarantined_labels"] += len(contents.labels) - len(labels)
        gone["quarantined_damage"] += damage
        _rewrite(path, contents, batches, labels, files)
    return gone


def drop_before(folder: Path, moment: int, files: FileSystem) -> int:
    """Remove the segments whose newest record is from before `moment` (microseconds since 1970); returns how many."""
    old = [name for name in _names(folder, files) if _newest(name, _contents(folder / name, files)) < moment]
    for name in old:
        files.remove(folder / name)
    if old:
        files.sync_folder(folder)
    return len(old)


def _contents(path: Path, files: FileSystem) -> SegmentContents:
    return frames.read_segment(files.read(path), sealed=True)


def _others(batch: PredictionBatch, subject: str) -> PredictionBatch | None:
    """The batch without the rows about `subject`; None when all are."""
    subjects = batch.subjects
    if not subjects or subject not in subjects:
        return batch
    places = [place for place, whom in enumerate(subjects) if whom != subject]
    return batch.only(places) if places else None


def _belongs(label: Label, ids: AbstractSet[str], external_ids: AbstractSet[str]) -> bool:
    return label.id in ids or label.external_id in external_ids


def _rewrite(
    path: Path, contents: SegmentContents, batches: list[PredictionBatch], labels: list[Label], files: FileSystem
) -> None:
    payloads = [frames.header_payload(contents.header)] if contents.header else []
    payloads += [frames.schema_payload(schema) for schema in contents.schemas.values()]
    payloads += [frames.predictions_payload(batch) for batch in batches]
    if labels:
        payloads.append(frames.labels_payload(labels))
    if batches or labels:
        files.write(path, [frames.MAGIC, frames.framed(payloads, 0)])
    else:
        files.remove(path)
        files.sync_folder(path.parent)
    log.info("quarantined_segment_rewritten", segment=path.name, kept=bool(batches or labels))


def _names(folder: Path, files: FileSystem) -> list[str]:
    return [name for name in files.names(folder) if is_uuid7(name[:36])]


def _newest(name: str, contents: SegmentContents) -> int:
    """The moment of its newest record; without any, when it was opened, or at least when its writer began."""
    moments = [batch.at for batch in contents.predictions] + [label.received_at for label in contents.labels]
    if contents.header:
        moments.append(contents.header.opened_at)
    return max(moments) if moments else milliseconds_of(name) * 1000
