"""Compiled pipelines at registration and in service: what serves is proven, recorded, light, and never a broken one."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import numpy_helper
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from lifecycle import models, versions
from lifecycle.clock import ManualClock
from lifecycle.compilation.choice import choose
from lifecycle.compilation.compiler import Compiled, compile_pipeline
from lifecycle.contract import Columns, Contract
from lifecycle.errors import ArtefactRejected
from lifecycle.ledger.sql import SqlLedger
from lifecycle.model_store import LocalModelStore
from lifecycle.records import ModelVersion
from lifecycle.runtimes.compiled import DESCRIPTION, GRAPH, CompiledRuntime
from lifecycle.runtimes.estimator import EstimatorRuntime
from lifecycle.runtimes.facts import RuntimeChoice, RuntimeFacts
from lifecycle.versions import LABEL, Candidate
from tests.component.lifecycle.compiling import coded, contract, fitted, rows, scaled

ROOT = Path(__file__).parents[3]
HEAVY = ("sklearn", "pandas", "scipy", "onnx", "skl2onnx", "pyarrow", "skops", "joblib")
ONE_HOUR = 3_600.0
Case = tuple[Contract, Pipeline, Columns]


@pytest.fixture(scope="module")
def boosted() -> Case:
    """Splits by category, by number, and by moments that lie seconds apart."""
    of = contract("binary")
    model = HistGradientBoostingClassifier(max_iter=30, categorical_features=[0, 1])
    return of, *fitted(of, coded(of), model, count=600, seconds=ONE_HOUR)


def _candidate(case: Case) -> Candidate:
    of, estimator, columns = case
    _, labels = rows(of.target.task, count=len(columns["size"]), seconds=ONE_HOUR)
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
    return Candidate(of, estimator, frame.assign(**{LABEL: labels}), "def make_model(contract): ...\n", {}, {}, None)


def _registered(
    case: Case,
    folder: Path,
    ledger: SqlLedger,
    clock: ManualClock,
    form: Any = "skops",
    runtime: RuntimeChoice = "auto",
) -> tuple[LocalModelStore, ModelVersion]:
    store = LocalModelStore(folder / "models")
    return store, versions.register(_candidate(case), store, ledger, clock, form, runtime)


@pytest.mark.parametrize("form", ["skops", "joblib"])
def test_a_compiled_version_serves_by_its_compiled_form_and_says_why(
    boosted: Case, form: str, tmp_path: Path, ledger: SqlLedger, clock: ManualClock
) -> None:
    of, estimator, columns = boosted
    store, version = _registered(boosted, tmp_path, ledger, clock, form)
    facts = versions.load_runtime_facts(version, store)
    assert (facts.name, facts.rows > 600) == ("onnx", True)
    assert facts.tolerance is not None
    assert facts.tolerance <= 1e-6
    assert facts.reason == f"the compiled pipeline answered {facts.rows:,} rows as scikit-learn does"
    runtime = models.load(version, store).runtime
    assert isinstance(runtime, CompiledRuntime)
    labels, chances = runtime.predict(columns)
    expected_labels, expected = EstimatorRuntime(of, estimator).predict(columns)
    assert labels == expected_labels
    assert chances["yes"] == pytest.approx(expected["yes"], rel=1e-9)


def test_the_configuration_can_ask_for_scikit_learn(
    boosted: Case, tmp_path: Path, ledger: SqlLedger, clock: ManualClock
) -> None:
    store, version = _registered(boosted, tmp_path, ledger, clock, runtime="sklearn")
    facts = versions.load_runtime_facts(version, store)
    assert (facts.name, facts.tolerance, facts.rows) == ("sklearn", None, 0)
    assert 'runtime = "sklearn"' in facts.reason
    assert isinstance(models.load(version, store).runtime, EstimatorRuntime)
    assert not (store.open(version.number, version.manifest_digest) / GRAPH).exists()


def test_a_version_from_before_compilation_is_served_by_scikit_learn(
    boosted: Case, tmp_path: Path, ledger: SqlLedger, clock: ManualClock
) -> None:
    store, version = _registered(boosted, tmp_path, ledger, clock, runtime="sklearn")
    source = store.open(version.number, version.manifest_digest)

    def fill(folder: Path) -> None:
        for path in source.iterdir():
            if path.name != "manifest.json":
                (folder / path.name).write_bytes(path.read_bytes())

    old = replace(version, number=2, manifest_digest=store.publish(2, fill))
    assert versions.load_runtime_facts(old, store).name == "sklearn"
    assert isinstance(models.load(old, store).runtime, EstimatorRuntime)


def _edited(change: Callable[[str, Any], Any]) -> Callable[[Contract, Any, Columns], Compiled]:
    """A compiler whose tree ensemble has one attribute changed."""

    def compiler(of: Contract, estimator: Any, columns: Columns) -> Compiled:
        compiled = compile_pipeline(of, estimator, columns)
        model = onnx.load_from_string(compiled.graph)
        node = next(node for node in model.graph.node if node.op_type == "TreeEnsemble")
        for attribute in node.attribute:
            value = onnx.helper.get_attribute_value(attribute)
            is_tensor = isinstance(value, onnx.TensorProto)
            changed = change(attribute.name, numpy_helper.to_array(value).copy() if is_tensor else value)
            if changed is not None:
                kept = numpy_helper.from_array(changed) if is_tensor else changed
                attribute.CopyFrom(onnx.helper.make_attribute(attribute.name, kept))
        return Compiled(model.SerializeToString(), compiled.description)

    return compiler


def _nudged(name: str, value: Any) -> Any:
    """One threshold in the middle of the seen numbers moves by a hundredth."""
    if name != "nodes_splits":
        return None
    sizes = np.flatnonzero((value > 10) & (value < 90) & (value != np.round(value)))
    value[sizes[0]] += 10
    return value


def _single_precision(name: str, value: Any) -> Any:
    return value.astype(np.float32).astype(np.float64) if name == "nodes_splits" else None


def _other_way_for_missing(name: str, value: Any) -> Any:
    return [1 - side for side in value] if name == "nodes_missing_value_tracks_true" else None


def _one_category_moved(name: str, value: Any) -> Any:
    if name != "membership_values":
        return None
    value[0] = next(code for code in range(12) if code not in value[: int(np.argmax(np.isnan(value)))])
    return value


def _one_leaf_off(name: str, value: Any) -> Any:
    if name != "leaf_weights":
        return None
    value[1:] *= 1 + 1e-4
    return value


@pytest.mark.parametrize(
    "change", [_nudged, _single_precision, _other_way_for_missing, _one_category_moved, _one_leaf_off]
)
def test_a_compiled_form_that_is_a_little_wrong_never_serves(boosted: Case, change: Any, tmp_path: Path) -> None:
    of, estimator, columns = boosted
    facts = choose(of, estimator, columns, tmp_path, _edited(change))
    assert facts.name == "sklearn"
    assert "differ from scikit-learn's" in facts.reason
    assert list(tmp_path.iterdir()) == []


def test_the_same_compiled_form_unchanged_does_serve(boosted: Case, tmp_path: Path) -> None:
    of, estimator, columns = boosted
    assert choose(of, estimator, columns, tmp_path, _edited(lambda _name, _value: None)).name == "onnx"
    assert {path.name for path in tmp_path.iterdir()} == {GRAPH, DESCRIPTION}


def test_exchanged_categories_are_noticed(boosted: Case, tmp_path: Path) -> None:
    of, estimator, columns = boosted

    def compiler(contract: Contract, model: Any, rows: Columns) -> Compiled:
        compiled = compile_pipeline(contract, model, rows)
        swapped = compiled.description.replace('"town 1"', '"?"').replace('"town 3"', '"town 1"')
        return replace(compiled, description=swapped.replace('"?"', '"town 3"'))

    facts = choose(of, estimator, columns, tmp_path, compiler)
    assert (facts.name, "differ from scikit-learn's" in facts.reason) == ("sklearn", True)


def test_a_compiler_that_stumbles_does_not_stop_a_registration(boosted: Case, tmp_path: Path) -> None:
    def compiler(contract: Contract, model: Any, rows: Columns) -> Compiled:
        raise ZeroDivisionError("a pipeline nobody thought of")

    facts = choose(*boosted, tmp_path, compiler)
    assert facts == RuntimeFacts("sklearn", "not compiled: ZeroDivisionError: a pipeline nobody thought of")


def test_equal_estimators_compile_to_equal_bytes() -> None:
    of = contract("multiclass")
    for steps in (
        (scaled(of), LogisticRegression(max_iter=200)),
        (coded(of), HistGradientBoostingClassifier(max_iter=5)),
    ):
        one, two = (compile_pipeline(of, *fitted(of, *steps)) for _ in range(2))
        assert one == two


def test_many_rows_arrays_and_single_rows_are_answered_alike(boosted: Case) -> None:
    of, estimator, columns = boosted
    compiled = compile_pipeline(of, estimator, columns)
    runtime = CompiledRuntime(of, compiled.graph, compiled.description)
    many = {name: values * 5 for name, values in columns.items()}
    labels, chances = runtime.predict(many)
    arrays = many | {
        "size": np.array(many["size"], dtype=np.float64),
        "rooms": np.array(many["rooms"], dtype=np.int64),
        "new": np.array(many["new"], dtype=bool),
        "sold": np.array(many["sold"], dtype=np.float64),
    }
    assert runtime.predict(arrays) == (labels, chances)
    for index in range(30):
        for given in (many, arrays):
            alone, chance = runtime.predict({name: values[index : index + 1] for name, values in given.items()})
            assert alone == labels[index : index + 1]
            assert chance["yes"] == pytest.approx(chances["yes"][index : index + 1], rel=1e-14)


def test_classes_that_the_model_never_saw_have_no_chance() -> None:
    of = contract("binary")
    wider = of.model_copy(update={"target": of.target.model_copy(update={"classes": ("maybe", "no", "yes")})})
    estimator, columns = fitted(of, scaled(of), LogisticRegression(max_iter=200))
    compiled = compile_pipeline(wider, estimator, columns)
    runtime = CompiledRuntime(wider, compiled.graph, compiled.description)
    expected_labels, expected = EstimatorRuntime(wider, estimator).predict(columns)
    for count in (1, len(columns["size"])):
        some = {name: values[:count] for name, values in columns.items()}
        labels, chances = runtime.predict(some)
        assert list(chances) == ["maybe", "no", "yes"]
        assert (labels, chances["maybe"]) == (expected_labels[:count], [0.0] * count)
        assert chances["no"] == pytest.approx(expected["no"][:count])


def test_a_graph_that_would_read_other_files_is_refused(boosted: Case) -> None:
    of, estimator, columns = boosted
    compiled = compile_pipeline(of, estimator, columns)
    model = onnx.load_from_string(compiled.graph)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(2), "outside"))
    outside = model.graph.initializer[-1]
    outside.ClearField("raw_data")
    outside.data_location = onnx.TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="../elsewhere")
    with pytest.raises(ArtefactRejected, match="other files"):
        CompiledRuntime(of, model.SerializeToString(), compiled.description)


def test_serving_a_compiled_version_loads_no_training_library(
    boosted: Case, tmp_path: Path, ledger: SqlLedger, clock: ManualClock
) -> None:
    store, version = _registered(boosted, tmp_path, ledger, clock)
    assert _loaded_by_serving(store, version) == ["yes or no"]


def test_the_watch_for_training_libraries_sees_scikit_learn_serve(
    boosted: Case, tmp_path: Path, ledger: SqlLedger, clock: ManualClock
) -> None:
    store, version = _registered(boosted, tmp_path, ledger, clock, runtime="sklearn")
    assert {"yes or no", "sklearn", "pandas"} <= set(_loaded_by_serving(store, version))


def _loaded_by_serving(store: LocalModelStore, version: ModelVersion) -> list[str]:
    program = f"""
import sys
from pathlib import Path
from lifecycle import models
from lifecycle.model_store import LocalModelStore
from lifecycle.records import ModelVersion
version = ModelVersion(number={version.number}, created_at=0, status="candidate",
                       manifest_digest={version.manifest_digest!r}, parent=None, metrics={{}}, lineage={{}})
model = models.load(version, LocalModelStore(Path({str(store.root)!r})))
row = {{"size": [None], "rooms": [3], "new": [True], "sold": [None], "town": ["nowhere"], "street": ["s1"]}}
labels, chances = model.runtime.predict(row)
assert labels[0] in chances
found = [name for name in {HEAVY!r} if name in sys.modules]
sys.stdout.write("|".join([" or ".join(sorted(chances, reverse=True)), *found]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("|")
