"""Artefacts that somebody made to do harm, under digests that all hold: only opening them with care keeps them from it.

Each belongs to a version that anybody could have signed who can write to the model store and the ledger both.
"""

import io
import itertools
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from skops.io._protocol import PROTOCOL  # the number that files of the installed version carry

from tests.behaviour.corrupting import Change, Corruption, Place

Node = dict[str, Any]
DEPTH = 100_000
BOMB_BYTES = 300_000_000


class Bomb:
    """A pickle that makes a folder when it is opened."""

    def __init__(self, marker: Path) -> None:
        self._marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.mkdir, (self._marker,)


def crafted() -> list[Corruption]:
    """All of them; every digest holds."""
    groups: dict[str, dict[str, Change]] = {
        "manifest": MANIFESTS,
        "contract": CONTRACTS,
        "golden": GOLDEN,
        "graph": GRAPHS,
        "description": DESCRIPTIONS,
        "estimator": ESTIMATORS,
    }
    return [
        Corruption(f"{group}: {name}", "both", change)
        for group, changes in groups.items()
        for name, change in changes.items()
    ]


def _json(name: str, change: Callable[[Any], Any]) -> Change:
    """The file `name`, read, changed and written again."""

    def apply(place: Place) -> None:
        path = place.folder / name
        path.write_text(json.dumps(change(json.loads(path.read_text()))))

    return apply


def _raw(name: str, content: bytes) -> Change:
    def apply(place: Place) -> None:
        (place.folder / name).write_bytes(content)

    return apply


def _claims(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    """The manifest claims what `change` makes of what it says."""

    def apply(place: Place) -> None:
        place.claims.update(change(place.manifest()))

    return apply


def _also_lists(name: str) -> Change:
    """The manifest lists a file by a name that leads elsewhere, with the digest of what is there."""

    def change(manifest: dict[str, Any]) -> dict[str, Any]:
        files, sizes = manifest["files"], manifest["sizes"]
        return {"files": files | {name: files["trainer.py"]}, "sizes": sizes | {name: sizes["trainer.py"]}}

    return _claims(change)


def _whole(content: bytes) -> Change:
    return _claims(lambda _: {"whole": content})


MANIFESTS: dict[str, Change] = {
    **{
        f"lists {name!r}": _also_lists(name)
        for name in ("../000001/trainer.py", "/etc/passwd", "..", ".", "", "a/b", "./trainer.py", "tra\0iner.py")
    },
    "is of another version": _claims(lambda found: {"number": found["number"] - 1}),
    "says no sizes": _claims(lambda _: {"sizes": {}}),
    "says wrong sizes": _claims(lambda found: {"sizes": dict.fromkeys(found["sizes"], 2**60)}),
    "says no files": _claims(lambda _: {"files": {}}),
    "has files that are a list": _claims(lambda found: {"files": list(found["files"])}),
    "has digests that are numbers": _claims(lambda found: {"files": dict.fromkeys(found["files"], 0)}),
    "names a runtime nobody knows": _claims(lambda _: {"runtime": {"name": "pickle", "reason": "", "rows": "many"}}),
    "has a runtime that is a text": _claims(lambda _: {"runtime": "onnx"}),
    "is a list": _whole(b"[]"),
    "is null": _whole(b"null"),
    "is empty": _whole(b""),
    "is not text": _whole(b"\xff\xfe\x00"),
    "is nested without end": _whole(b"[" * DEPTH),
    "is many megabytes": _whole(b'{"number": 1, "files": {}, "sizes": {}, "x": "' + b"x" * 5_000_000 + b'"}'),
}


def _without_column(contract: Any) -> Any:
    return contract | {"columns": contract["columns"][:-1]}


def _with_column(contract: Any) -> Any:
    return contract | {"columns": [*contract["columns"], {"name": "more", "kind": "numeric"}]}


def _renamed(contract: Any) -> Any:
    return contract | {"columns": [contract["columns"][0] | {"name": "renamed"}, *contract["columns"][1:]]}


def _reordered(contract: Any) -> Any:
    return contract | {"columns": contract["columns"][::-1]}


def _target(**changes: Any) -> Change:
    return _json("contract.json", lambda contract: contract | {"target": contract["target"] | changes})


CONTRACTS: dict[str, Change] = {
    "without a column": _json("contract.json", _without_column),
    "with a column more": _json("contract.json", _with_column),
    "without any column": _json("contract.json", lambda contract: contract | {"columns": []}),
    "with a column renamed": _json("contract.json", _renamed),
    "with columns in another order": _json("contract.json", _reordered),
    "of another task": _target(task="regression", classes=[]),
    "of other classes": _target(classes=["perhaps", "never"]),
    "of more classes": _target(classes=["no", "yes", "perhaps"]),
    "with fields nobody knows": _json("contract.json", lambda contract: contract | {"__class__": "os.system"}),
    "that is no object": _raw("contract.json", b"[]"),
    "that is nested without end": _raw("contract.json", b'{"columns":' * DEPTH),
}


def _first(name: str, value: object) -> Callable[[Any], Any]:
    return lambda golden: golden | {name: [value, *golden[name][1:]]}


def _shares(change: Callable[[float], float]) -> Callable[[Any], Any]:
    def apply(golden: Any) -> Any:
        scores = {label: [change(value) for value in values] for label, values in golden["probabilities"].items()}
        return golden | {"probabilities": scores}

    return apply


def _no_rows(golden: Any) -> Any:
    return {
        "columns": {name: [] for name in golden["columns"]},
        "predictions": [],
        "probabilities": {name: [] for name in golden["probabilities"]},
    }


GOLDEN: dict[str, Change] = {
    "with another prediction": _json("golden.json", _first("predictions", "perhaps")),
    "with other probabilities": _json("golden.json", _shares(lambda value: value + 1e-3)),
    "with probabilities that are no numbers": _json("golden.json", _shares(lambda _: float("nan"))),
    "without probabilities": _json("golden.json", lambda golden: golden | {"probabilities": {}}),
    "without rows": _json("golden.json", _no_rows),
    "without columns": _json("golden.json", lambda golden: golden | {"columns": {}}),
    "with fewer predictions": _json("golden.json", lambda found: found | {"predictions": found["predictions"][:1]}),
    "that is nested without end": _raw("golden.json", b"[" * DEPTH),
    "that is empty": _raw("golden.json", b""),
}


def _graph(change: Callable[[onnx.ModelProto], onnx.ModelProto | None]) -> Change:
    """The compiled graph, changed in place or replaced."""

    def apply(place: Place) -> None:
        path = place.folder / "model.onnx"
        model = onnx.load_from_string(path.read_bytes())
        path.write_bytes((change(model) or model).SerializeToString())

    return apply


def _answering(nodes: Sequence[onnx.NodeProto], *constants: tuple[str, Any]) -> Callable[..., onnx.ModelProto]:
    """A graph of the same input and output as the real one that gives `answer` of other nodes."""

    def change(model: onnx.ModelProto) -> onnx.ModelProto:
        graph = model.graph
        given = helper.make_node("Identity", [graph.input[0].name], ["given"])
        last = helper.make_node("Identity", ["answer"], [graph.output[0].name])
        kept = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants]
        made = helper.make_graph([given, *nodes, last], "made", graph.input, graph.output, kept)
        return helper.make_model(made, opset_imports=model.opset_import, ir_version=model.ir_version)

    return change


def _first_column(*nodes: onnx.NodeProto) -> list[onnx.NodeProto]:
    """`column` is the first column of what is given, as a matrix."""
    return [helper.make_node("Gather", ["given", "zero"], ["column"], axis=1), *nodes]


def _repeated() -> list[onnx.NodeProto]:
    """Doubles a number for ever."""
    information = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["value", "value"], ["next"])],
        "body",
        [
            information("turn", TensorProto.INT64, []),
            information("go", TensorProto.BOOL, []),
            information("value", TensorProto.DOUBLE, None),
        ],
        [information("on", TensorProto.BOOL, []), information("next", TensorProto.DOUBLE, None)],
    )
    return _first_column(helper.make_node("Loop", ["often", "true", "column"], ["answer"], body=body))


def _outside(location: str) -> Callable[[onnx.ModelProto], None]:
    """A tensor whose numbers are in another file."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(8, np.uint8), "outside"))
        tensor = model.graph.initializer[-1]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("length", "8")):
            tensor.external_data.add(key=key, value=value)

    return change


ZERO = ("zero", np.array([0], np.int64))
GRAPHS: dict[str, Change] = {
    "keeps numbers in /etc/passwd": _graph(_outside("../../../../../../../../etc/passwd")),
    "keeps numbers in /dev/zero": _graph(_outside("/dev/zero")),
    "keeps numbers beside the project": _graph(_outside("evenkeel.toml")),
    "answers what is no number": _graph(
        _answering(_first_column(helper.make_node("Mul", ["column", "nan"], ["answer"])), ZERO, ("nan", float("nan")))
    ),
    "answers infinity": _graph(
        _answering(_first_column(helper.make_node("Div", ["column", "nil"], ["answer"])), ZERO, ("nil", 0.0))
    ),
    "answers always the same": _graph(
        _answering(_first_column(helper.make_node("Mul", ["column", "nil"], ["answer"])), ZERO, ("nil", 0.0))
    ),
    "answers all that it is given": _graph(_answering([helper.make_node("Identity", ["given"], ["answer"])])),
    "never ends": _graph(_answering(_repeated(), ZERO, ("often", np.array(2**62)), ("true", np.array(True)))),
    "asks for a petabyte": _graph(
        _answering(
            [helper.make_node("ConstantOfShape", ["shape"], ["answer"], value=numpy_helper.from_array(np.ones(1)))],
            ("shape", np.array([2**24, 2**23], np.int64)),
        )
    ),
    "has an operator nobody knows": _graph(
        _answering([helper.make_node("Shell", ["given"], ["answer"], domain="attack")])
    ),
    "is a pickle": lambda place: _write_bomb(place, "model.onnx"),
    "is text": _raw("model.onnx", b"import os\n"),
    "is empty": _raw("model.onnx", b""),
}


def _described(**changes: Any) -> Change:
    return _json("compiled.json", lambda found: found | changes)


DESCRIPTIONS: dict[str, Change] = {
    "with an output nobody knows": _described(output="__import__"),
    "with one class": _described(classes=["no"]),
    "with the classes exchanged": _json("compiled.json", lambda found: found | {"classes": found["classes"][::-1]}),
    "that is no object": _raw("compiled.json", b"7"),
    "that is nested without end": _raw("compiled.json", b"[" * DEPTH),
}


def _write_bomb(place: Place, name: str) -> None:
    (place.folder / name).write_bytes(pickle.dumps(Bomb(place.marker)))


def _estimator(make: Callable[[Place], bytes], name: str = "model.skops") -> Change:
    """A version that scikit-learn serves, with what `make` gives as its estimator."""

    def apply(place: Place) -> None:
        place.only(name)
        place.claims["runtime"] = {"name": "sklearn", "reason": "somebody says so", "tolerance": None, "rows": 0}
        (place.folder / name).write_bytes(make(place))

    return apply


def _archive(tree: Callable[[Place], Node], **parts: bytes) -> Callable[[Place], bytes]:
    """A skops file of `tree`."""

    def make(place: Place) -> bytes:
        schema = json.dumps(tree(place) | {"protocol": PROTOCOL, "_skops_version": "0"})
        return _zip({"schema.json": schema.encode(), **parts})

    return make


def _zip(parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return sink.getvalue()


_IDS = itertools.count(1)


def _node(loader: str, name: str, **more: Any) -> Node:
    module, _, own = name.rpartition(".")
    return {"__class__": own, "__module__": module, "__loader__": loader, "__id__": next(_IDS), **more}


def _value(content: object) -> Node:
    return _node("JsonNode", "builtins.str", content=json.dumps(content), is_json=True)


def _tuple(*items: Node) -> Node:
    return _node("TupleNode", "builtins.tuple", content=list(items))


def _dictionary(key: Node | None = None, **content: Node) -> Node:
    keys = _node("ListNode", "builtins.list", content=[key] if key else [])
    return _node("DictNode", "builtins.dict", key_types=keys, content=content)


def _called(name: str, *arguments: Callable[[Place], object]) -> Callable[[Place], Node]:
    """Calls what `name` names when it is opened."""

    def tree(place: Place) -> Node:
        given = [_value(argument(place)) for argument in arguments]
        return _node("ConstructorFromReduceNode", name, content=_tuple(*given))

    return tree


def _run(place: Place) -> Node:
    """Executes a text by a function of numpy's tests."""
    code = f"import os; os.mkdir({str(place.marker)!r})"
    return _node("ConstructorFromReduceNode", "numpy.testing.runstring", content=_tuple(_value(code), _dictionary()))


def _key(place: Place) -> Node:
    """A dictionary whose keys are made by calling `os.mkdir`."""
    return _dictionary(_node("TypeNode", "os.mkdir"), **{str(place.marker): _value(1)})


def _partial(place: Place) -> Node:
    parts = {
        "func": _node("FunctionNode", "os.mkdir"),
        "args": _tuple(_value(str(place.marker))),
        "kwds": _dictionary(),
        "namespace": _value(None),
    }
    return _node("PartialNode", "functools.partial", content=parts)


def _asked(place: Place) -> Node:
    """`operator.methodcaller`."""
    return _node("OperatorFuncNode", "operator.methodcaller", attrs=_tuple(_value("mkdir"), _value(str(place.marker))))


def _pickled_array(place: Place) -> bytes:
    """An array of objects, which numpy keeps as a pickle."""
    sink = io.BytesIO()
    np.save(sink, np.array([Bomb(place.marker)], dtype=object), allow_pickle=True)
    tree = _node("NdArrayNode", "numpy.ndarray", type="numpy", file="1.npy")
    return _archive(lambda _: tree, **{"1.npy": sink.getvalue()})(place)


def _swollen_matrix(place: Place) -> bytes:
    """A sparse matrix, whose format is compressed, that unpacks into more than there is room for."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(5):
            archive.writestr(f"{index}.npy", b"\0" * BOMB_BYTES)
    tree = _node("SparseMatrixNode", "scipy.sparse._csr.csr_matrix", type="scipy", file="1.npz")
    return _archive(lambda _: tree, **{"1.npz": sink.getvalue()})(place)


def _declared_array(place: Place) -> bytes:
    """An array that says it has a petabyte of numbers."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000)}"
    header += b" " * (118 - len(header) - 1) + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    tree = _node("NdArrayNode", "numpy.ndarray", type="numpy", file="1.npy")
    return _archive(lambda _: tree, **{"1.npy": array})(place)


def _nested(_: Place) -> bytes:
    opened = '{"__class__":"list","__module__":"builtins","__loader__":"ListNode","content":['
    return _zip({"schema.json": (opened * DEPTH).encode()})


def _deep_tree(_: Place) -> Node:
    node = _value(1)
    for _turn in range(400):
        node = _tuple(node)
    return node


def _bomb(place: Place) -> bytes:
    return pickle.dumps(Bomb(place.marker))


def _without_estimator(place: Place) -> None:
    place.only()
    place.claims["runtime"] = {"name": "sklearn", "reason": "somebody says so", "tolerance": None, "rows": 0}


ESTIMATORS: dict[str, Change] = {
    "a pickle": _estimator(_bomb, "model.joblib"),
    "a pickle by the name of the safe format": _estimator(_bomb),
    "calls os.mkdir": _estimator(_archive(_called("os.mkdir", lambda place: str(place.marker)))),
    "executes a text": _estimator(_archive(_run)),
    "makes a key with os.mkdir": _estimator(_archive(_key)),
    "is os.mkdir with its argument": _estimator(_archive(_partial)),
    "asks for a method": _estimator(_archive(_asked)),
    "imports a program": _estimator(_archive(lambda _: _node("TypeNode", "numpy.f2py.__main__.main"))),
    "overwrites a file": _estimator(
        _archive(_called("numpy.memmap", lambda place: str(place.marker), lambda _: "u1", lambda _: "w+", lambda _: 9))
    ),
    "deletes a folder": _estimator(
        _archive(_called("sklearn.datasets._base.clear_data_home", lambda place: str(place.folder)))
    ),
    "writes a file": _estimator(
        _archive(_called("sklearn.tree._export.export_graphviz", lambda _: None, lambda place: str(place.marker)))
    ),
    "an array of pickles": _estimator(_pickled_array),
    "an array that is said to be huge": _estimator(_declared_array),
    "compressed until it is small": _estimator(
        lambda _: _zip({"schema.json": b" " * BOMB_BYTES + b"{}"}, zipfile.ZIP_DEFLATED)
    ),
    "a matrix compressed until it is small": _estimator(_swollen_matrix),
    "nested without end": _estimator(_nested),
    "nested deep": _estimator(_archive(_deep_tree)),
    "something that does not predict": _estimator(_archive(lambda _: _value("a text"))),
    "a class and not its instance": _estimator(
        _archive(lambda _: _node("TypeNode", "sklearn.linear_model._logistic.LogisticRegression"))
    ),
    "an archive without contents": _estimator(lambda _: _zip({})),
    "none at all": _without_estimator,
}


def kinds(found: Sequence[Corruption]) -> Iterator[Corruption]:
    """The first of each kind; of those that are crafted, all that could run or hang, and one of each other group."""
    seen: set[str] = set()
    for corruption in found:
        group, _, _ = corruption.kind.partition(":")
        name = corruption.kind if group in {"graph", "estimator"} else group
        if name not in seen:
            seen.add(name)
            yield corruption
