"""What the contract marks never reaches the disk as it was sent, wherever a served project writes; what is not marked does."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from lifecycle.pseudonyms import FORM, Pseudonyms
from tests.behaviour.project import RunningProject, eventually
from tests.unit.evenkeel.tables import table, write

CUSTOMERS = [f"customer-Zw7Qx{index:02d}" for index in range(12)]
POSTCODES = [f"PC-Kj4vNp{index}" for index in range(6)]
NEWCOMER, FOREIGN_POSTCODE = "customer-Zw7Qx-newcomer", "PC-Kj4vNp-far-away"
SENT = 6
SETTINGS = {
    "EVENKEEL_SERVICE__WORKERS": "1",
    "EVENKEEL_MONITORING__WINDOW_MINUTES": "0.1",
    "EVENKEEL_FEATURE_LOG__DURABILITY": "disk",
}
PLAIN = ("--target", "sold", "--drop", "price", "--drop", "key", "--id", "order")
MARKED = (*PLAIN, "--subject", "customer", "--pseudonymise", "postcode", "--unlogged", "town")


def orders(rows: int, seed: int = 0) -> pd.DataFrame:
    """Sales with an order's number, whose customer it is of, and a postcode that tells something."""
    random = np.random.default_rng(seed)
    return table(rows, seed=seed).assign(
        order=[f"order-Ty8Rb{seed}-{index:04d}" for index in range(rows)],
        customer=random.choice(CUSTOMERS, rows),
        postcode=random.choice(POSTCODES, rows),
    )


def asked() -> list[dict[str, object]]:
    """New orders, one of which has a customer and a postcode that nobody knows."""
    rows = [{str(name): value for name, value in row.items()} for row in orders(50, seed=7).to_dict("records")[:SENT]]
    rows[0] |= {"customer": NEWCOMER, "postcode": FOREIGN_POSTCODE}
    return rows


def texts_in(path: Path) -> Iterator[bytes]:
    """All that a file holds: its bytes, and what is packed in it."""
    content = path.read_bytes()
    yield content
    if content.startswith(b"PAR1"):
        for column in pq.ParquetFile(path).read().itercolumns():
            yield repr(column.to_pylist()).encode()
    elif content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(path) as archive:
            yield from map(archive.read, archive.namelist())


def files_with(folder: Path, words: list[str]) -> set[str]:
    """The files under `folder` in which any of `words` is found."""
    wanted = [word.encode() for word in words]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder))
        for path in files
        if any(word in text for text in texts_in(path) for word in wanted)
    }


def served(folder: Path, options: tuple[str, ...], rows: list[dict[str, object]]) -> tuple[RunningProject, list[str]]:
    """A project that answered `rows` and was told labels by order, and has ended; and the ids of the first two predictions."""
    folder.mkdir()
    with RunningProject(folder, SETTINGS, source=write(folder, orders(600)), options=options) as running:
        with httpx.Client(base_url=running.service_url, timeout=30) as http:
            native = http.post("/predict", json={"rows": rows[:2]}).raise_for_status().json()
            split = {"columns": list(rows[2]), "data": [list(row.values()) for row in rows[2:4]]}
            http.post("/invocations", json={"dataframe_split": split}).raise_for_status()
            body = pd.DataFrame(rows[4:]).to_csv(index=False)
            http.post("/invocations", content=body, headers={"content-type": "text/csv"}).raise_for_status()
            labels = [{"external_id": row["order"], "label": row["sold"]} for row in rows]
            told = http.post("/feedback", json={"labels": labels})
            assert (told.status_code, told.json()) == (202, {"accepted": SENT, "rejected": []})
            refused = http.post("/predict", json={"rows": [rows[0] | {"order": "x" * 10**6}]})
            assert refused.status_code == 422
        tables = running.project.tables
        eventually(lambda: tables.predictions.row_count() == SENT, "all rows are folded", 60)
        eventually(lambda: tables.labels.row_count() == SENT, "all labels have found their predictions", 60)
        ids = [item["id"] for item in native["predictions"]]
    return running, ids


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunningProject, list[str]]:
    rows = asked()
    rows[1]["customer"] = None
    return served(tmp_path_factory.mktemp("privacy") / "marked", MARKED, rows)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunningProject, list[str]]:
    return served(tmp_path_factory.mktemp("privacy") / "plain", PLAIN, asked())


SECRETS = [*CUSTOMERS, *POSTCODES, NEWCOMER, FOREIGN_POSTCODE, "customer-Zw7Qx", "PC-Kj4vNp"]


def test_no_byte_of_a_project_holds_a_customer_or_a_postcode(marked: tuple[RunningProject, list[str]]) -> None:
    running, _ = marked
    assert files_with(running.path, SECRETS) == set()
    assert not any(word in running.log.read_text() for word in SECRETS)


def test_the_search_finds_what_is_not_marked(
    marked: tuple[RunningProject, list[str]], plain: tuple[RunningProject, list[str]]
) -> None:
    folders = {name.split("/")[1] for name in files_with(plain[0].path / ".evenkeel", SECRETS) if "/" in name}
    assert "predictions" in folders, "what callers sent"
    assert files_with(plain[0].path / ".evenkeel" / "models", SECRETS), "what the model learnt from"
    tables = files_with(marked[0].path / ".evenkeel" / "feature_log", ["order-Ty8Rb7-0000"])
    assert any("predictions" in name for name in tables), "an id that is not marked is kept as it was sent"
    assert any("labels" in name for name in tables)


def test_a_label_by_the_order_s_number_belongs_to_its_prediction(marked: tuple[RunningProject, list[str]]) -> None:
    running, ids = marked
    rows = running.project.tables.record(ids[0]).to_pylist()
    assert [(row["external_id"], row["id"]) for row in rows] == [(asked()[0]["order"], ids[0])]
    labels = running.project.tables.labels
    found = {row["id"]: row["label"] for batch in labels.scan(labels.files()) for row in batch.to_pylist()}
    assert found[ids[0]] == asked()[0]["sold"]


def test_who_has_the_key_finds_a_customer_again(marked: tuple[RunningProject, list[str]]) -> None:
    running, ids = marked
    pseudonyms = Pseudonyms.read(running.path / ".evenkeel" / "pseudonym.key")
    newcomer, nobody = (running.project.tables.record(name).to_pylist()[0] for name in ids)
    assert newcomer["subject"] == pseudonyms.subject(NEWCOMER)
    assert newcomer["feature_postcode"] == pseudonyms.of(FOREIGN_POSTCODE)
    assert nobody["subject"] is None
    assert FORM.fullmatch(nobody["feature_postcode"])


def test_what_is_unlogged_is_known_to_the_model_and_null_in_the_log(marked: tuple[RunningProject, list[str]]) -> None:
    running, ids = marked
    assert "town" in running.project.contract().names
    assert [running.project.tables.record(name).to_pylist()[0]["feature_town"] for name in ids] == [None, None]


def test_the_key_is_readable_by_its_owner_alone(marked: tuple[RunningProject, list[str]]) -> None:
    path = marked[0].path / ".evenkeel" / "pseudonym.key"
    assert path.stat().st_mode & 0o777 == 0o600
