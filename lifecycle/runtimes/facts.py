"""What a version's manifest says about the runtime that serves it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from lifecycle.errors import ArtefactRejected

COMPILED: Literal["onnx"] = "onnx"
SCIKIT_LEARN: Literal["sklearn"] = "sklearn"
RUNTIME = "runtime"
RuntimeName = Literal["onnx", "sklearn"]
RuntimeChoice = Literal["auto", "sklearn"]


@dataclass(frozen=True)
class RuntimeFacts:
    """The runtime, the sentence that says why, and for a compiled one the largest relative difference over `rows` rows."""

    name: RuntimeName
    reason: str
    tolerance: float | None = None
    rows: int = 0

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "RuntimeFacts":
        """As a manifest's facts say; scikit-learn for a version from before runtimes were recorded.

        Raises ArtefactRejected for a runtime that there is not.
        """
        if RUNTIME not in manifest:
            return cls(SCIKIT_LEARN, "registered before pipelines were compiled")
        facts = cls(**manifest[RUNTIME])
        if facts.name not in get_args(RuntimeName):
            raise ArtefactRejected(f"the manifest names the runtime {facts.name!r}, which there is not; re-register it")
        return facts

    def describe(self) -> dict[str, Any]:
        """The facts as they go into the manifest."""
        return {RUNTIME: asdict(self)}
