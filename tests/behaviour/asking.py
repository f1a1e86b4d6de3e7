"""Requests to the service: what one is, and a valid one for every path that takes a body, in each of its content types."""

import io
import json
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pyarrow import ipc

from service.exchange import JSON
from service.protocols.arrow import ARROW
from service.protocols.v2 import BYTES, DATATYPES

MARKER = "Zq7marker"
"""In the texts that are sent: where it shows up in a log, a client's text got there."""
CSV = "text/csv"
_VARIABLE = re.compile(r"\{(\w+)\}")
_PACKED = {"FP64": "<d", "INT64": "<q", "BOOL": "<?"}
Document = Mapping[str, Any]
Bodies = list[tuple[dict[str, str], bytes]]
"""Headers and contents."""


@dataclass(frozen=True)
class Asked:
    """One request; `path` is as the description writes it, `url` as it is sent."""

    method: str
    path: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None

    def curl(self) -> str:
        """The request for a shell; $URL is the service's address. Of a long body only its beginning."""
        headers = "".join(f" -H '{name}: {value}'" for name, value in self.headers.items())
        shown = "".join(f"\\x{byte:02x}" for byte in (self.content or b"")[:1_000])
        body = f" --data-binary @<(printf '{shown}')" if shown else ""
        return f'curl -X {self.method}{headers}{body} "$URL{self.url}"  # {len(self.content or b"")} bytes of body'


def covers(description: Document, requests: Iterable[Asked]) -> set[tuple[str, str]]:
    """The paths and content types of the description for which there is none among `requests`."""
    wanted = {
        (path, name)
        for path, methods in description["paths"].items()
        for operation in methods.values()
        for name in operation.get("requestBody", {}).get("content", {})
    }
    return wanted - {(asked.path, asked.headers["content-type"]) for asked in requests}


def valid_requests(description: Document, model: Document, rows: Sequence[Mapping[str, Any]]) -> list[Asked]:
    """One or more valid requests for every path that takes a body and each of its content types, of those built in."""
    bodies = _bodies(model, rows)
    known = {"model": model["name"], "version": str(model["version"]), "label": "champion"}
    found = []
    for path, methods in description["paths"].items():
        url = _VARIABLE.sub(lambda name: known[name[1]], path)
        for headers, content in bodies.get(_kind_of(path), []) if "post" in methods else []:
            found.append(Asked("POST", path, url, {"user-agent": MARKER} | headers, content))
    return found


def _kind_of(path: str) -> str:
    """`/v1/models/{model}:predict` is a `/v1`."""
    return f"/{path.split('/')[1]}"


def _bodies(model: Document, rows: Sequence[Mapping[str, Any]]) -> dict[str, Bodies]:
    names = [column["name"] for column in model["contract"]["columns"]]
    clean = [{name: row[name] for name in names} for row in rows]
    columns = {name: [row[name] for row in clean] for name in names}
    arrays = [list(row.values()) for row in clean]
    split = {"columns": names, "data": arrays}

    csv = "\n".join([",".join(names), *(",".join(map(str, array)) for array in arrays)]).encode()
    lines = csv.partition(b"\n")[2]
    instances = _text({"instances": clean}, {"inputs": columns}, {"instances": arrays})
    label = {"id": "018bcfe5-6800-7000-8000-000000000000", "label": "yes", "observed_at": "2024-05-01T12:00:00Z"}
    return {
        "/predict": [*_text({"rows": clean}), ({"content-type": ARROW}, _arrow(columns))],
        "/feedback": _text({"labels": [label, label]}),
        "/v1": instances,
        "/v2": [*_text(_tensors(model, columns)), _binary_tensors(model, columns)],
        "/invocations": [
            *_text({"dataframe_split": split}, {"dataframe_records": clean}, {"inputs": columns}),
            ({"content-type": CSV}, csv),
            ({"content-type": CSV}, lines),
        ],
        "/vertex": _text({"instances": clean, "parameters": {"probabilities": True}}),
        "/predictions": _text(clean, clean[0]),
        "/explanations": _text(clean),
        "/score": _text({"input_data": split}, {"input_data": arrays}),
    }


def _text(*contents: object) -> Bodies:
    return [({"content-type": JSON}, json.dumps(content).encode()) for content in contents]


def _arrow(columns: Mapping[str, Sequence[Any]]) -> bytes:
    table = pa.table({name: list(values) for name, values in columns.items()})
    sink = io.BytesIO()
    with ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def _tensors(model: Document, columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    described = {column["name"]: DATATYPES[column["kind"]] for column in model["contract"]["columns"]}
    return {
        "id": "r1",
        "inputs": [
            {"name": name, "datatype": described[name], "shape": [len(values)], "data": list(values)}
            for name, values in columns.items()
        ],
    }


def _binary_tensors(model: Document, columns: Mapping[str, Sequence[Any]]) -> tuple[dict[str, str], bytes]:
    """The binary tensor extension, with an answer in bytes asked for."""
    content = _tensors(model, columns) | {"parameters": {"binary_data_output": True}}
    parts = []
    for tensor in content["inputs"]:
        parts.append(b"".join(_packed(tensor["datatype"], value) for value in tensor.pop("data")))
        tensor["parameters"] = {"binary_data_size": len(parts[-1])}
    head = json.dumps(content).encode()
    return {"content-type": BYTES, "inference-header-content-length": str(len(head))}, head + b"".join(parts)


def _packed(datatype: str, value: Any) -> bytes:
    if datatype in _PACKED:
        return struct.pack(_PACKED[datatype], value)
    text = str(value).encode()
    return struct.pack("<I", len(text)) + text
