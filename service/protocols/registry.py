"""Which adapters the configuration names, made over one data plane."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from lifecycle.errors import ConfigInvalid
from service.exchange import Route
from service.plane import DataPlane
from service.protocols.arrow import ArrowProtocol
from service.protocols.native import NativeProtocol


class ProtocolAdapter(Protocol):
    """A wire format over the data plane."""

    def routes(self) -> Sequence[Route]:
        """What it answers; each of its handlers decodes, asks the plane, and encodes."""


Factory = Callable[[DataPlane], ProtocolAdapter]
_INVOCATIONS = ("service.protocols.invocations:InvocationsProtocol", "service.protocols.invocations:Ping")
BUILT_IN: Mapping[str, tuple[str, ...]] = {
    "v2": ("service.protocols.v2:V2Protocol",),
    "tensorflow": ("service.protocols.tensorflow:TensorFlowProtocol",),
    "mlflow": _INVOCATIONS,
    "sagemaker": _INVOCATIONS,
    "vertex": ("service.protocols.vertex:from_environment",),
    "torchserve": ("service.protocols.torchserve:TorchServeProtocol", "service.protocols.invocations:Ping"),
    "azure": ("service.protocols.azure:AzureProtocol",),
}
"""Adapters by name, as `module:Class`; loaded only when they are asked for. `native` and `arrow` share a path."""


def adapters(names: Sequence[str], plane: DataPlane) -> list[ProtocolAdapter]:
    """The adapters of `names`. Raises ConfigInvalid as `factories` does."""
    arrow = ArrowProtocol(plane) if "arrow" in names else None
    made: list[ProtocolAdapter] = [NativeProtocol(plane, arrow)] if "native" in names or arrow else []
    return made + [factory(plane) for factory in factories(names)]


def factories(names: Sequence[str]) -> list[Factory]:
    """What makes each adapter beside `native` and `arrow`, which share a path.

    Raises ConfigInvalid for a name that is neither known nor the dotted path of something to import.
    """
    others = [name for name in names if name not in ("native", "arrow")]
    paths = dict.fromkeys(path for name in others for path in BUILT_IN.get(name, (name,)))
    return [_factory(path) for path in paths]


def _factory(path: str) -> Factory:
    module, _, name = path.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        known = ", ".join(["native", "arrow", *BUILT_IN])
        raise ConfigInvalid(
            f"evenkeel.toml, [service] protocols names {path!r}, which is not one of {known}, and not the "
            f"`package.module:Class` of another: {error}"
        ) from error
    return found  # type: ignore[no-any-return]  # a class that somebody else wrote; its routes are checked when used
