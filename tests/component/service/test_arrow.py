"""Arrow streams: what is taken, what comes back, and that no stream does harm."""

import datetime as dt
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import ipc

from lifecycle.contract import Column, Contract, Target
from lifecycle.errors import InputRejected
from service.exchange import Refused
from service.protocols import arrow_streams
from service.protocols.arrow import ARROW
from tests import builders
from tests.component.service.making import LIMITS, Worker, publish

HEADERS = {"content-type": ARROW}
BACK = HEADERS | {"accept": ARROW}
TABLE = pa.table({"a": [3.0, -3.0], "b": [3.0, -3.0]})
CONTRACT = builders.contract()
ROWS = [
    builders.row(),
    builders.row(size=-1e-300, rooms=2**62 + 1, new=False, town=None, sold=None),
    builders.row(town="Türin"),
]
LIMIT = 50


def stream(table: pa.Table, *, batch_rows: int | None = None, compression: str | None = None) -> bytes:
    """`table` as a client's IPC writer writes it."""
    sink = io.BytesIO()
    with ipc.new_stream(sink, table.schema, options=ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=batch_rows)
    return sink.getvalue()


def table(batches: bytes) -> pa.Table:
    return ipc.open_stream(batches).read_all()


@pytest.fixture
def open_worker(worker: Worker) -> Worker:
    """One that takes larger bodies than the other tests'."""
    worker.body_limit_bytes = 100_000
    return worker


def test_a_stream_gives_the_native_answer(open_worker: Worker) -> None:
    response = open_worker.ask("POST", "/predict", content=stream(TABLE), headers=HEADERS)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert [row["prediction"] for row in response.json()["predictions"]] == ["yes", "no"]
    (batch,) = open_worker.log.predictions
    assert (batch.protocol, [row["id"] for row in response.json()["predictions"]]) == ("arrow", batch.ids)
    assert {name: list(values) for name, values in batch.columns.items()} == TABLE.to_pydict()


@pytest.mark.parametrize("after", [stream(TABLE), b"xxxx", b"\0" * 8], ids=["stream", "bytes", "zeros"])
def test_nothing_may_follow_the_stream(open_worker: Worker, after: bytes) -> None:
    response = open_worker.ask("POST", "/predict", content=stream(TABLE) + after, headers=HEADERS)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "malformed_arrow")
    assert open_worker.log.predictions == []


def test_a_stream_comes_back_where_it_is_accepted(open_worker: Worker) -> None:
    response = open_worker.ask("POST", "/predict", content=stream(TABLE), headers=BACK | {"x-request-id": "r7"})
    assert (response.status_code, response.headers["content-type"]) == (200, ARROW)
    found = table(response.content)
    (batch,) = open_worker.log.predictions
    assert found.schema.names == ["id", "prediction", "probability_no", "probability_yes"]
    assert found.to_pydict() == {
        "id": batch.ids,
        "prediction": ["yes", "no"],
        "probability_no": batch.probabilities["no"],
        "probability_yes": batch.probabilities["yes"],
    }
    assert found.schema.metadata == {b"model": b"houses", b"version": b"1", b"request_id": b"r7"}


def test_a_regression_comes_back_as_doubles(tmp_path: Path) -> None:
    worker = Worker(tmp_path / "worker", publish(tmp_path / "published", "regression", 1))
    worker.promote(1)
    found = table(worker.ask("POST", "/predict", content=stream(TABLE), headers=BACK).content)
    assert found.schema.field("prediction").type == pa.float64()
    assert found["prediction"].to_pylist() == worker.log.predictions[0].predictions
    assert found.schema.names == ["id", "prediction"]


def checked(given: pa.Table, contract: Contract = CONTRACT, **options: Any) -> dict[str, list[Any]]:
    """What the contract makes of a stream of `given`, as lists with None."""
    found = arrow_streams.read(stream(given, **options), contract.names, LIMIT)
    columns = contract.checker.columns(found.columns, found.rows)
    return {
        name: [None if value != value else value for value in list(values)]  # noqa: PLR0124  # NaN alone differs from itself
        for name, values in columns.items()
    }


def full(**types: pa.DataType) -> pa.Table:
    """ROWS as Arrow would have them, some of the columns of other types."""
    moment = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
    values = {
        "size": [row["size"] for row in ROWS],
        "rooms": [row["rooms"] for row in ROWS],
        "new": [row["new"] for row in ROWS],
        "town": [row["town"] for row in ROWS],
        "sold": [moment if row["sold"] else None for row in ROWS],
    }
    return pa.table({name: pa.array(column, types.get(name)) for name, column in values.items()})


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
@pytest.mark.parametrize("batch_rows", [None, 1, 2])
def test_every_kind_means_what_it_means_in_json(batch_rows: int | None, compression: str | None) -> None:
    expected = CONTRACT.check(ROWS)
    assert checked(full(), batch_rows=batch_rows, compression=compression) == expected


@pytest.mark.parametrize(
    "types",
    [
        {"town": pa.large_string()},
        {"town": pa.string_view()},
        {"town": pa.dictionary(pa.int8(), pa.string())},
        {"town": pa.dictionary(pa.uint32(), pa.large_string())},
        {"rooms": pa.uint64()},
        {"rooms": pa.dictionary(pa.int8(), pa.int64())},
        {"sold": pa.timestamp("s")},
        {"sold": pa.timestamp("ms", "UTC")},
        {"sold": pa.timestamp("us", "Europe/Rome")},
        {"sold": pa.timestamp("ns", "+02:00")},
    ],
    ids=str,
)
@pytest.mark.parametrize("batch_rows", [None, 1])
def test_the_types_that_clients_write_for_one_kind_are_all_taken(
    types: dict[str, pa.DataType], batch_rows: int | None
) -> None:
    assert checked(full(**types), batch_rows=batch_rows) == CONTRACT.check(ROWS)


NUMBERS = Contract(
    target=Target(name="y", task="regression"), columns=(Column(name="x", kind="numeric", nullable=True),)
)
WHOLES = NUMBERS.model_copy(update={"columns": (Column(name="x", kind="integer", nullable=True),)})
MOMENTS = NUMBERS.model_copy(update={"columns": (Column(name="x", kind="datetime", nullable=True),)})


@pytest.mark.parametrize(
    "kind", ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint64"]
)
@pytest.mark.parametrize("values", [[1, 2, 3], [1, None, 3]], ids=["complete", "with a null"])
@pytest.mark.parametrize("contract", [NUMBERS, WHOLES], ids=["numeric", "integer"])
def test_numbers_of_every_width_are_taken(kind: str, values: list[int | None], contract: Contract) -> None:
    given = pa.table({"x": pa.array(values, kind)})
    for batch_rows in (None, 1):
        assert checked(given, contract, batch_rows=batch_rows) == {"x": values}


def test_nan_and_null_are_both_missing() -> None:
    given = pa.table({"x": pa.array([1.5, float("nan"), None])})
    for batch_rows in (None, 1):
        assert checked(given, NUMBERS, batch_rows=batch_rows) == {"x": [1.5, None, None]}


def test_a_column_of_nothing_is_missing_throughout() -> None:
    assert checked(pa.table({"x": pa.nulls(3)}), NUMBERS) == {"x": [None] * 3}


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()], ids=str)
def test_a_date_is_its_midnight_in_utc(kind: pa.DataType) -> None:
    given = pa.table({"x": pa.array([dt.date(2024, 5, 1), None], kind)})
    assert checked(given, MOMENTS) == MOMENTS.check([{"x": "2024-05-01"}, {}])


def test_numbers_are_not_copied() -> None:
    body = stream(pa.table({"x": [1.0, 2.0, 3.0]}))
    columns = NUMBERS.checker.columns(arrow_streams.read(body, ("x",), LIMIT).columns, 3)
    assert not columns["x"].flags.owndata
    assert not columns["x"].flags.writeable


def test_the_index_that_pandas_writes_is_left_out_and_columns_set_aside_may_come() -> None:
    given = full().append_column("__index_level_0__", pa.array([7, 8, 9])).append_column("key", pa.array([1, 2, 3]))
    assert checked(given) == CONTRACT.check(ROWS)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (full().drop_columns(["size"]), "field 'size' is missing"),
        (full().append_column("colour", pa.array([1, 2, 3])), "field 'colour' is not a field of this model"),
        (full().set_column(0, "size", pa.array([1, 2, 3], pa.decimal128(9, 2))),
         "field 'size' is of the Arrow type decimal128"),
        (full().set_column(3, "town", pa.array([b"x"] * 3, pa.binary())), "field 'town' is of the Arrow type binary"),
        (full().set_column(3, "town", pa.array([["x"]] * 3)), "field 'town' is of the Arrow type list"),
        (full().set_column(0, "size", pa.array([1, 2, 3], pa.duration("s"))), "field 'size' is of the Arrow type duration"),
        (full().set_column(0, "size", pa.array([1, 2, 3], pa.time32("s"))), "field 'size' is of the Arrow type time32"),
        (full().set_column(3, "town", pa.array([b"0" * 16] * 3, pa.uuid())), "field 'town' is of the Arrow type extension"),
        (full().set_column(0, "size", pa.array(["1"] * 3)), "field 'size' must be a finite number, not a text"),
        (full().set_column(0, "size", pa.array([1.0, None, 2.0])), "row 1, field 'size' must not be null"),
        (full().set_column(0, "size", pa.array([1.0, 2.0, float("inf")])), "row 2, field 'size' must be a finite number"),
        (full().set_column(4, "sold", pa.array([2**40] * 3, pa.timestamp("s"))), "field 'sold' must be a date and time"),
        (full().set_column(4, "sold", pa.array([2**30] * 3, pa.date32())), "field 'sold' must be a date and time"),
        (full().set_column(3, "town", pa.array(["x" * 5_000] * 3, pa.string_view())), "field 'town' must be a text of at"),
        (full().set_column(3, "town", pa.array(["x" * 5_000] * 3, pa.large_string())), "field 'town' must be a text of at"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_a_column_that_breaks_the_contract_is_named(given: pa.Table, sentence: str) -> None:
    with pytest.raises(InputRejected, match=sentence):
        checked(given)


def test_no_rows_and_too_many_are_refused(open_worker: Worker) -> None:
    empty = open_worker.ask("POST", "/predict", content=stream(TABLE.slice(0, 0)), headers=HEADERS)
    assert (empty.status_code, empty.json()["error"]["code"]) == (422, "contract_violated")
    many = pa.table({"a": [1.0] * (LIMITS.rows + 1), "b": [1.0] * (LIMITS.rows + 1)})
    for batch_rows in (None, 5):
        content = stream(many, batch_rows=batch_rows)
        response = open_worker.ask("POST", "/predict", content=content, headers=HEADERS)
        assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")
    assert open_worker.log.predictions == []


def refusal_of(body: bytes) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        arrow_streams.read(body, CONTRACT.names, LIMIT)
    return caught.value.status, caught.value.code


def duplicated() -> bytes:
    both = pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], names=["size", "size"])
    return stream(both)


def file_format() -> bytes:
    sink = io.BytesIO()
    with ipc.new_file(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)
    return sink.getvalue()


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"",
        lambda: b"{}",
        lambda: b"\xff\xff\xff\xff\xff\xff\xff\x7f",
        lambda: b"\xff\xff\xff\xff\x08\x00\x00\x00" + b"\xff" * 8,
        lambda: b"\x00" * 64,
        lambda: random.Random(1).randbytes(1_000),
        lambda: stream(TABLE)[:-40],
        lambda: stream(TABLE)[8:],
        lambda: stream(TABLE)[:20],
        file_format,
        duplicated,
    ],
    ids=[
        "nothing",
        "json",
        "huge length",
        "no table",
        "zeros",
        "noise",
        "no end",
        "no start",
        "start",
        "file",
        "twice",
    ],
)
def test_what_is_no_stream_is_400(open_worker: Worker, make: Callable[[], bytes]) -> None:
    assert refusal_of(make()) == (400, "malformed_arrow")
    response = open_worker.ask("POST", "/predict", content=make(), headers=HEADERS)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "malformed_arrow")


def test_a_body_that_says_it_grows_beyond_bounds_is_refused_before_it_is_unpacked() -> None:
    size = 1_000
    small = stream(pa.table({"x": pa.array([b"\0" * size])}), compression="zstd")
    assert arrow_streams.read(small, CONTRACT.names, LIMIT).rows == 1
    # Unpacking this one would fail for want of memory, which is another refusal.
    assert refusal_of(small.replace(size.to_bytes(8, "little"), (2**40).to_bytes(8, "little"))) == (413, "too_large")


def test_a_short_body_that_holds_very_much_is_refused() -> None:
    bomb = stream(pa.table({"x": pa.array([b"\0" * arrow_streams.MOST_BYTES])}), compression="zstd")
    assert len(bomb) < 100_000
    assert refusal_of(bomb) == (413, "too_large")


def test_a_number_of_rows_without_any_bytes_is_refused() -> None:
    some, very_many = (77).to_bytes(8, "little"), (2**40).to_bytes(8, "little")
    assert refusal_of(stream(pa.table({"x": pa.nulls(77)})).replace(some, very_many)) == (413, "too_large")


def test_a_stream_of_very_many_messages_is_refused() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([], pa.float64())], names=["x"])
    sink = io.BytesIO()
    with ipc.new_stream(sink, batch.schema) as writer:
        for _ in range(arrow_streams.MOST_MESSAGES):
            writer.write_batch(batch)
    assert refusal_of(sink.getvalue()) == (413, "too_large")


def test_rows_that_share_one_long_text_do_not_multiply_it() -> None:
    long = pa.DictionaryArray.from_arrays(pa.array([0] * LIMIT, pa.int32()), pa.array(["x" * 2**20]))
    found = arrow_streams.read(stream(pa.table({"town": long})), CONTRACT.names, LIMIT).columns["town"]
    assert len({id(text) for text in found}) == 1


def test_an_index_outside_its_dictionary_is_400() -> None:
    wrong = pa.DictionaryArray.from_arrays(pa.array([0, 7]), pa.array(["x"]), safe=False)
    assert refusal_of(stream(pa.table({"town": wrong}))) == (400, "malformed_arrow")


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_a_damaged_stream_is_refused_or_read_but_never_more(compression: str | None) -> None:
    chance = random.Random(7)
    whole = stream(full(town=pa.dictionary(pa.int8(), pa.string())), compression=compression, batch_rows=2)
    outcomes = set()
    for _ in range(1_500):
        body = bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 8))):
            at = chance.randrange(len(body))
            body[at] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        del body[chance.choice((len(body), len(body), chance.randrange(len(body)))) :]
        try:
            found = arrow_streams.read(bytes(body), CONTRACT.names, LIMIT)
            CONTRACT.checker.columns(found.columns, found.rows)
            outcomes.add("read")
        except Refused as refused:
            outcomes.add(refused.code)
        except InputRejected:
            outcomes.add("contract_violated")
    assert outcomes == {"read", "malformed_arrow", "too_large", "contract_violated"}
