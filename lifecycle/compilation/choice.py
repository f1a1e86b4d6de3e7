"""Which runtime serves a version: the compiled pipeline if it is proven to answer as scikit-learn does, else scikit-learn.

Nothing that goes wrong here stops a registration; it becomes the reason why scikit-learn serves.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from lifecycle.compilation.compiler import Compiled, compile_pipeline
from lifecycle.compilation.features import CannotCompile
from lifecycle.compilation.verification import Verified, verify
from lifecycle.contract import Columns, Contract
from lifecycle.runtimes.compiled import DESCRIPTION, GRAPH, CompiledRuntime
from lifecycle.runtimes.estimator import EstimatorRuntime
from lifecycle.runtimes.facts import COMPILED, SCIKIT_LEARN, RuntimeFacts

Compiler = Callable[[Contract, Any, Columns], Compiled]


def choose(
    contract: Contract, estimator: Any, reference: Columns, folder: Path, compiler: Compiler = compile_pipeline
) -> RuntimeFacts:
    """Compile `estimator`, verify it on `reference`, and write its compiled form into `folder` when it holds."""
    try:
        compiled, verified = _proven(contract, estimator, reference, compiler)
    except CannotCompile as error:
        return RuntimeFacts(SCIKIT_LEARN, f"not compiled: {error}")
    (folder / GRAPH).write_bytes(compiled.graph)
    (folder / DESCRIPTION).write_text(compiled.description, encoding="utf-8")
    reason = f"the compiled pipeline answered {verified.rows:,} rows as scikit-learn does"
    return RuntimeFacts(COMPILED, reason, verified.difference, verified.rows)


def _proven(contract: Contract, estimator: Any, reference: Columns, compiler: Compiler) -> tuple[Compiled, Verified]:
    try:
        compiled = compiler(contract, estimator, reference)
        runtime = CompiledRuntime(contract, compiled.graph, compiled.description)
        with threadpool_limits(1):  # on busy cores, OpenMP threads that wait for each other take minutes
            return compiled, verify(contract, EstimatorRuntime(contract, estimator), runtime, reference)
    except CannotCompile:
        raise
    except Exception as error:  # a pipeline nobody thought of must still be served, by scikit-learn
        raise CannotCompile(f"{type(error).__name__}: {str(error)[:300]}") from error
