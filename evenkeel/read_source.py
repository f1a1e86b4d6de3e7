"""Reading a CSV or Parquet file as it is: CSV cells stay text, Parquet columns keep their types.

What a column means is decided elsewhere (`column_types`). A file that is not a readable table with distinctly named
columns and at least one row is refused in one sentence.
"""

import csv
import warnings
from collections import Counter
from itertools import chain
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.errors import ProjectInvalid

SEPARATORS = {".csv": ",;\t|", ".tsv": "\t", ".parquet": "", ".pq": ""}
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "<NA>", "#N/A")
LONGEST_HEADER = 2**20
LONGEST_NAME = 200
UTF_8, UTF_16 = "utf-8-sig", "utf-16"


def read_source(path: Path) -> pd.DataFrame:
    """The table in `path`: CSV columns as text, missing where a cell is empty or says NA, Parquet columns typed.

    Raises ProjectInvalid, saying what was found and what to do.
    """
    suffix = path.suffix.lower()
    if suffix not in SEPARATORS:
        raise ProjectInvalid(
            f"{path} is neither .csv nor .parquet (its name ends in {suffix or 'nothing'!r}); "
            "export the table as a CSV or Parquet file"
        )
    _refuse_unreadable(path, text=bool(SEPARATORS[suffix]))
    frame = _read_parquet(path) if not SEPARATORS[suffix] else _read_csv(path, SEPARATORS[suffix])
    if frame.empty:
        raise ProjectInvalid(
            f"{path} has a header of {len(frame.columns)} columns but no rows; export it again with its rows"
        )
    return frame


def _refuse_unreadable(path: Path, *, text: bool) -> None:
    if path.is_dir():
        raise ProjectInvalid(f"{path} is a folder; name one CSV or Parquet file in it")
    try:
        with path.open("rb") as file:
            start = file.read(4)
            blocks = iter(lambda: file.read(2**20), b"")
            binary = text and _encoding(start) == UTF_8 and any(b"\x00" in block for block in chain([start], blocks))
    except FileNotFoundError as error:
        raise ProjectInvalid(f"there is no file {path}; check the path (looked in {path.absolute().parent})") from error
    except OSError as error:
        raise ProjectInvalid(f"{path} cannot be opened ({error.strerror}); check its access rights") from error
    if not start:
        raise ProjectInvalid(f"{path} is empty (0 bytes); export the table again, with a header and rows")
    if binary:
        raise ProjectInvalid(f"{path} holds binary content, not text; export the table as a CSV or Parquet file")


def _read_csv(path: Path, separators: str) -> pd.DataFrame:
    try:
        with path.open("rb") as file:
            encoding = _encoding(file.read(2))
        names, separator = _header(path, encoding, separators)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                path,
                sep=separator,
                encoding=encoding,
                header=0,
                names=names,
                index_col=False,
                dtype=object,
                keep_default_na=False,
                na_values=list(MISSING),
                skip_blank_lines=True,
                low_memory=False,
            )
    except UnicodeError as error:
        raise ProjectInvalid(_undecodable(path, error)) from error
    except pd.errors.ParserWarning as error:
        raise ProjectInvalid(
            f"{path} has rows with more cells than the header's {len(names)}; give every cell a column, and quote cells that "
            "contain the separator"
        ) from error
    except (pd.errors.ParserError, csv.Error) as error:
        raise ProjectInvalid(
            f"{path} is not a regular table ({_first_line(error)}); give every line as many cells as the header, and "
            "quote cells that contain the separator"
        ) from error
    return frame


def _header(path: Path, encoding: str, separators: str) -> tuple[list[str], str]:
    """The column names, distinct, and the separator that splits the first line into most cells."""
    with path.open(encoding=encoding, newline="") as file:
        line = next((line for line in iter(lambda: file.readline(LONGEST_HEADER), "") if line.strip()), "")
        if not line:
            raise ProjectInvalid(f"{path} holds only blank lines; export the table again, with a header and rows")
        separator = max(separators, key=line.count)
        file.seek(0)
        row = next(row for row in csv.reader(file, delimiter=separator) if any(cell.strip() for cell in row))
    return _checked(path, [name.strip() or f"unnamed_{index}" for index, name in enumerate(row, 1)]), separator


def _checked(path: Path, names: list[str]) -> list[str]:
    """`names`, which are distinct and printable."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ProjectInvalid(
            f"{path} has more than one column named {', '.join(map(repr, twice[:5]))}; give every column its own name"
        )
    for position, name in enumerate(names, 1):
        if not name.isprintable() or len(name) > LONGEST_NAME:
            raise ProjectInvalid(
                f"{path} names column {position} {name[:40]!r}, which is longer than {LONGEST_NAME} characters or holds "
                "control characters; rename it"
            )
    return names


def _encoding(start: bytes) -> str:
    return UTF_16 if start.startswith((b"\xff\xfe", b"\xfe\xff")) else UTF_8


def _undecodable(path: Path, error: UnicodeError) -> str:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as wrong:
                return (
                    f"{path} is not UTF-8 text: line {number} holds the byte 0x{line[wrong.start]:02x}; convert it, for "
                    f"example with `iconv -f WINDOWS-1252 -t UTF-8 {path.name} > utf8.csv`, and use the new file"
                )
    return f"{path} cannot be decoded as text ({_first_line(error)}); save it as UTF-8"


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        _checked(path, pq.read_schema(path).names)
        table = pq.read_table(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ProjectInvalid(
            f"{path} is not a readable Parquet file ({_first_line(error)}); write it again, or export it as CSV"
        ) from error
    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
    return frame


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line.removeprefix("Error tokenizing data. C error: ").removesuffix(".")[:200]
