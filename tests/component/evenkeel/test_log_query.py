"""SQL over the tables: it answers, in order and in any form, it reads nothing else, and it never answers from damage."""

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from evenkeel.__main__ import app
from evenkeel.log_query import query
from lifecycle.errors import InputRejected, StoreUnavailable
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.table import LogTables
from lifecycle.project import Project
from tests.builders import label, writer
from tests.unit.evenkeel.making import answered, project

ROWS = 5


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    found = project(tmp_path_factory.mktemp("query"))
    answered(found, ROWS)
    return found


def rows(tables: LogTables, sql: str) -> list[dict[str, object]]:
    schema, batches = query(tables, sql)
    found: list[dict[str, object]] = pa.Table.from_batches(batches, schema).to_pylist()
    return found


def printed(made: Project, *arguments: str) -> str:
    done = CliRunner().invoke(app, ["log", "query", *arguments, "--project", str(made.path)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_predictions_and_labels_are_joined_and_come_in_the_order_that_was_asked_for(made: Project) -> None:
    sql = "SELECT p.feature_a, p.prediction, l.label FROM predictions p JOIN labels l ON p.id = l.id ORDER BY 1 DESC"
    found = rows(made.tables, sql)
    assert [row["feature_a"] for row in found] == [4.0, 3.0, 2.0, 1.0, 0.0]
    assert {(row["prediction"], row["label"]) for row in found} == {("yes", "no")}


@pytest.mark.parametrize(
    "sql",
    [
        "WITH x AS (SELECT 1 AS a) SELECT a FROM x",
        "  \n select 1 AS a",
        "-- one\r\n/* two\n * three **/ -- four\nSELECT 1 AS a",
        "(SELECT 1 AS a)",
    ],
    ids=["with", "case", "comments", "parenthesis"],
)
def test_a_query_may_begin_as_sql_lets_it(made: Project, sql: str) -> None:
    assert rows(made.tables, sql) == [{"a": 1}]


def test_the_latest_label_of_each_prediction_is_a_view(tmp_path: Path) -> None:
    made = project(tmp_path)
    identifier = answered(made, 1)[0]
    log, later = writer(made.tables.segments), made.clock.now()
    log.append_labels(
        [label(identifier, value, received_at=later + when) for value, when in (("yes", 2), ("maybe", 1))]
    )
    log.close()
    Folder(made.tables, made.clock).fold()
    assert len(rows(made.tables, "SELECT * FROM labels")) == 3
    assert [row["label"] for row in rows(made.tables, "SELECT * FROM latest_labels")] == ["yes"]
    assert set(rows(made.tables, "SELECT * FROM latest_labels")[0]) == set(made.tables.labels.schema().names)
    assert made.tables.record(identifier)["label"].to_pylist() == ["yes"]


def test_into_a_pipe_every_column_of_every_row_is_printed_as_csv(made: Project) -> None:
    found = list(csv.DictReader(io.StringIO(printed(made, "SELECT * FROM predictions"))))
    assert len(found) == ROWS
    assert list(found[0]) == made.tables.predictions.schema().names


def test_it_prints_lines_of_json_and_csv(made: Project) -> None:
    sql = "SELECT feature_a AS size, at FROM predictions WHERE feature_a >= 3 ORDER BY 1"
    lines = [json.loads(line) for line in printed(made, sql, "--json").splitlines()]
    assert [line["size"] for line in lines] == [3.0, 4.0]
    found = list(csv.DictReader(io.StringIO(printed(made, sql, "--csv"))))
    assert [(row["size"], row["at"]) for row in found] == [(f"{line['size']:.0f}", line["at"]) for line in lines]


WRITES = {
    "external table": "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{path}/secret.csv'",
    "copy": "COPY (SELECT 1) TO '{path}/out.csv'",
    "copy predictions": "COPY predictions TO '{path}/out.parquet'",
    "explained": "EXPLAIN ANALYZE COPY (SELECT 1) TO '{path}/out.csv'",
    "insert": "INSERT INTO predictions SELECT * FROM predictions",
    "insert after with": "WITH a AS (SELECT 1) INSERT INTO predictions SELECT * FROM predictions",
    "delete": "DELETE FROM predictions",
    "delete in with": "WITH a AS (DELETE FROM predictions RETURNING *) SELECT * FROM a",
    "copy in with": "WITH a AS (COPY (SELECT 1) TO '{path}/out.csv') SELECT * FROM a",
    "drop": "DROP TABLE predictions",
    "setting": "SET datafusion.execution.batch_size = 1",
    "comment": "/* SELECT */ DROP TABLE predictions",
    "comment in a comment": "/* /* */ SELECT */ COPY (SELECT 1) TO '{path}/out.csv'",
    "half a line's end": "--\rEXPLAIN ANALYZE COPY (--\nSELECT 1) TO '{path}/out.csv'",
    "after half a line's end": "-- \rSELECT 1\nCOPY (SELECT 1) TO '{path}/out.csv'",
    "in parentheses": "(COPY (SELECT 1) TO '{path}/out.csv')",
    "into": "SELECT * INTO foo FROM predictions",
    "two": "SELECT 1; COPY (SELECT 1) TO '{path}/out.csv'",
    "file": "SELECT * FROM '{path}/secret.csv'",
    "file in quotes": 'SELECT * FROM "{path}/secret.csv"',
    "file by function": "SELECT * FROM read_csv('{path}/secret.csv')",
    "file by parquet": "SELECT * FROM parquet_metadata('{path}/secret.csv')",
    "environment": "SELECT getenv('HOME')",
}


@pytest.mark.parametrize("sql", WRITES.values(), ids=WRITES.keys())
def test_nothing_is_written_and_no_other_file_is_read(made: Project, sql: str) -> None:
    (made.path / "secret.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputRejected):
        rows(made.tables, sql.format(path=made.path))
    assert not list(made.path.glob("out.*"))
    assert made.tables.row_count() == ROWS


WRONG = {
    "SELECT nope FROM predictions": "No field named nope",
    "SELECT * FROM coffee": r"there is no table 'coffee'; there are predictions, labels",
    "SELECT a FROM": "the query cannot be answered: SQL error",
    "SELECT 1; SELECT 2": "it is more than one statement",
    "SELECT * INTO foo FROM predictions": "no columns, as SELECT ... INTO does; leave INTO out",
    "DROP TABLE predictions": "only a query is answered, which begins with SELECT or WITH",
    "SELECT 1 / (feature_a - feature_a) FROM predictions WHERE CAST(prediction AS INT) = 1": "cannot be answered",
}


@pytest.mark.parametrize(("sql", "words"), WRONG.items(), ids=range(len(WRONG)))
def test_what_is_wrong_with_a_query_is_said_in_a_sentence(made: Project, sql: str, words: str) -> None:
    with pytest.raises(InputRejected, match=words) as raised:
        rows(made.tables, sql)
    assert "\n" not in str(raised.value)


HUNGRY = {
    "groups": "SELECT value * 7 % 3000017, count(*) FROM range(3000000) GROUP BY 1",
    "sort": "SELECT value FROM range(3000000) ORDER BY -value",
    "join": "SELECT a.value FROM range(3000000) a JOIN range(3000000) b ON a.value = b.value",
}


@pytest.mark.parametrize("sql", HUNGRY.values(), ids=HUNGRY.keys())
def test_a_query_that_needs_more_memory_than_it_may_take_ends_with_a_sentence(made: Project, sql: str) -> None:
    with pytest.raises(InputRejected, match="more memory than a query may take; ask for fewer rows"):
        pa.Table.from_batches(query(made.tables, sql, memory="32M")[1])


def test_before_anything_was_recorded_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputRejected, match="nothing was recorded yet"):
        rows(LogTables(tmp_path), "SELECT * FROM predictions")


def flip(made: Project) -> None:
    """Change one bit of the pages of a file."""
    (file,) = made.tables.predictions.files()
    path = made.tables.folder / "predictions" / file.path
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)


def test_it_does_not_answer_from_a_damaged_page_unless_it_is_told_to_trust(tmp_path: Path) -> None:
    made = project(tmp_path)
    answered(made, 200)
    flip(made)
    sql = "SELECT count(*) AS answered FROM predictions"
    with pytest.raises(StoreUnavailable, match="doctor --verify"):
        query(made.tables, sql)
    _, batches = query(made.tables, sql, verified=False)
    assert next(batches).to_pylist() == [{"answered": 200}]
