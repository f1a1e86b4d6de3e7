"""Answers by the compiled form of a pipeline: one matrix in, one run of the graph, no scikit-learn.

It is the hot path of the service: one row is turned into a matrix without a loop over kinds, and the session is asked
through one call. Loading it and answering load neither scikit-learn nor pandas nor onnx.
"""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lifecycle.contract import Columns, Contract
from lifecycle.errors import ArtefactRejected

GRAPH, DESCRIPTION = "model.onnx", "compiled.json"
EXTERNAL = re.compile(rb"(?:\n|\x8a\x80*\x00)(?:\x08|\x88\x80*\x00)location")
"""How a tensor that is kept in another file begins to say where: a field and its length, each however long it is written."""
ENDLESS = re.compile(
    rb"(?:\x22|\xa2\x80*\x00)(?:(?:\x04|\x84\x80*\x00)(?:Loop|Scan)|(?:\x0b|\x8b\x80*\x00)SequenceMap)"
)
"""How an operator is named that repeats others, and so need not end."""
MOST_ROWS = 1_024
"""Rows per run: forests of many classes need memory for each row and tree."""
SILENT = 4
"""What goes wrong is raised; the library need not print it too."""
Matrix = npt.NDArray[np.float64]
Answers = tuple[list[Any], dict[str, list[float]]]


class Vocabulary(dict[Any, int]):
    """Text -> code; None is missing, and whatever is not known has one code of its own."""

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__({text: code for code, text in enumerate(texts)})
        self[None] = len(texts) + 1
        self._unseen = len(texts)

    def __missing__(self, value: object) -> int:
        return self._unseen if isinstance(value, str) else self.get(str(value), self._unseen)


class CompiledRuntime:
    """A compiled pipeline behind `contract`. Safe to ask from several threads."""

    inline_rows = 128  # about a millisecond of a forest of a hundred trees

    def __init__(self, contract: Contract, graph: bytes, description: str) -> None:
        self._session = _session(graph)
        self._input = self._session.get_inputs()[0].name
        self._outputs = [self._session.get_outputs()[0].name]
        found = json.loads(description)
        self._names = contract.names
        self._coded = [
            (index, Vocabulary(found["vocabularies"][column.name]))
            for index, column in enumerate(contract.columns)
            if column.kind == "categorical"
        ]
        self._moments = [index for index, column in enumerate(contract.columns) if column.kind == "datetime"]
        self._classes: list[str] = found["classes"]
        self._texts = contract.target.class_texts
        self._in_order = tuple(self._classes) == self._texts
        # Functions, not bound methods, which would keep this object alive until the collector comes: sessions are large.
        answers: dict[str, Callable[[CompiledRuntime, Any], Answers]] = {
            "values": CompiledRuntime._values,
            "classes": CompiledRuntime._labels,
            "positive": CompiledRuntime._positive,
            "probabilities": CompiledRuntime._probabilities,
        }
        self._answer = answers[found["output"]]

    @classmethod
    def open(cls, folder: Path, contract: Contract) -> "CompiledRuntime":
        """The compiled form in a version's folder, whose digests the caller has verified."""
        return cls(contract, (folder / GRAPH).read_bytes(), (folder / DESCRIPTION).read_text(encoding="utf-8"))

    def predict(self, columns: Columns) -> Answers:
        rows = len(columns[self._names[0]])
        if rows == 1:
            return self._answer(self, self._session.run(self._outputs, {self._input: self._row(columns)})[0])
        matrix = self._matrix(columns, rows)
        parts = [
            self._session.run(self._outputs, {self._input: matrix[start : start + MOST_ROWS]})[0]
            for start in range(0, max(rows, 1), MOST_ROWS)
        ]
        return self._answer(self, parts[0] if len(parts) == 1 else np.concatenate(parts))

    def _row(self, columns: Columns) -> Matrix:
        values = [columns[name][0] for name in self._names]
        for index, vocabulary in self._coded:
            values[index] = vocabulary[values[index]]
        for index in self._moments:
            if values[index] is not None:
                values[index] /= 1e6
        return np.array([values], dtype=np.float64)  # None becomes NaN

    def _matrix(self, columns: Columns, rows: int) -> Matrix:
        matrix = np.empty((rows, len(self._names)), dtype=np.float64)
        coded = dict(self._coded)
        for index, name in enumerate(self._names):
            values: Any = columns[name]
            if index in coded:
                vocabulary = coded[index]
                values = [vocabulary[value] for value in values]
            matrix[:, index] = np.asarray(values, dtype=np.float64)
        matrix[:, self._moments] /= 1e6
        return matrix

    def _values(self, found: Matrix) -> Answers:
        return found.ravel().tolist(), {}

    def _labels(self, found: npt.NDArray[np.int64]) -> Answers:
        return [self._classes[index] for index in found.ravel().tolist()], {}

    def _positive(self, found: Matrix) -> Answers:
        first, second = self._classes
        if len(found) == 1:
            chance: float = found.item()
            other = 1 - chance
            return [second if chance > other else first], self._named([[other], [chance]])
        chances = found.ravel().tolist()
        others = [1 - chance for chance in chances]
        labels = [second if chance > other else first for chance, other in zip(chances, others, strict=True)]
        return labels, self._named([others, chances])

    def _probabilities(self, found: Matrix) -> Answers:
        if len(found) == 1:
            chances: list[float] = found[0].tolist()
            return [self._classes[chances.index(max(chances))]], self._named([[chance] for chance in chances])
        labels = [self._classes[index] for index in found.argmax(axis=1).tolist()]
        return labels, self._named(found.T.tolist())

    def _named(self, columns: list[list[float]]) -> dict[str, list[float]]:
        if self._in_order:
            return dict(zip(self._texts, columns, strict=True))
        known = dict(zip(self._classes, columns, strict=True))
        nothing = [0.0] * len(columns[0])
        return {name: known.get(name, nothing) for name in self._texts}


def _session(graph: bytes) -> Any:
    """A session of one thread over `graph`. Raises ArtefactRejected when the graph would read other files, or may not end."""
    if EXTERNAL.search(graph):
        raise ArtefactRejected(f"{GRAPH} keeps tensors in other files, which is not allowed; re-register the version")
    if ENDLESS.search(graph):
        raise ArtefactRejected(f"{GRAPH} repeats operators, which is not allowed; re-register the version")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = SILENT
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
