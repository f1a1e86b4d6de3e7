"""Whether a table holds what was written to it: read back from its files, before what it was made from is deleted."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from lifecycle.feature_log.data_files import DAY, DataFile
from lifecycle.feature_log.delta import LogTable
from lifecycle.feature_log.placing import placed


def differences(table: LogTable, files: Sequence[DataFile], written: Sequence[pa.Table]) -> list[str]:
    """What of `written`, just committed as `files`, is not in them, in words; nothing when every value is.

    Raises StoreUnavailable when they cannot be read.
    """
    stored = table.schema()
    named = []
    for rows in written:
        names = placed(stored, rows.schema)
        named.append(rows.rename_columns([names[name] for name in rows.column_names]))
    wanted = pa.concat_tables(named, promote_options="default")
    wanted = wanted.sort_by([(key, "ascending") for key in (DAY, *table.keys)])
    schema = pa.schema([stored.field(name) for name in wanted.column_names])
    found = pa.Table.from_batches(table.scan(files, schema.names), schema)
    if found.num_rows != wanted.num_rows:
        return [f"{wanted.num_rows} rows were written to {table.name}, and {found.num_rows} are there"]
    wrong = [name for name in wanted.column_names if not found[name].equals(wanted[name])]
    return [f"the column {name} of {len(wanted)} rows is not in {table.name} as it was written" for name in wrong]


def missing(table: LogTable, rows: Sequence[pa.Table]) -> list[str]:
    """Whether the ids of `rows`, committed by an earlier folder, are in the table: in words, nothing when they are."""
    ids = pc.unique(pa.chunked_array([chunk for part in rows for chunk in part["id"].drop_null().chunks], pa.string()))
    if not len(ids):
        return []
    bounds = pc.min_max(ids).as_py()
    files = [file for file in table.files() if file.first_id <= bounds["max"] and file.last_id >= bounds["min"]]
    found = [batch["id"] for batch in table.scan(files, ["id"], pc.field("id").isin(ids))]
    there = len(pc.unique(pa.chunked_array(found, pa.string())))
    return [f"{len(ids) - there} of {len(ids)} ids are not in {table.name}"] if there < len(ids) else []
