"""What the protocols beside the native one share: which model is addressed, and answers as plain values."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.exchange import Refused, Request
from service.plane import Answers, DataPlane
from service.protocols.rows import described, malformed

IDS_HEADER = b"x-prediction-ids"
MOST_IDS = 100
"""Ids fit a header up to this many rows."""
MODEL_NOT_FOUND, VERSION_NOT_FOUND = "model_not_found", "version_not_found"


def check_model(plane: DataPlane, request: Request) -> None:
    """Raises Refused when the path names another model than this service has, or a version that is not the live one."""
    model, version = request.arguments.get("model"), request.arguments.get("version")
    if model is not None and model != plane.name:
        raise Refused(404, MODEL_NOT_FOUND, f"this service has the model {plane.name!r} and no other")
    if version is not None:
        check_version(version, plane.live(request).version)


def check_version(asked: str | None, live: int) -> None:
    """Raises Refused when `asked`, a number as the path writes it, is not `live`. TorchServe writes 7 as 7.0."""
    if asked is not None and asked.removesuffix(".0") != str(live):
        raise Refused(404, VERSION_NOT_FOUND, f"that version is not live; version {live} is")


def identified(answers: Answers) -> Sequence[tuple[bytes, bytes]]:
    """The header that carries the predictions' ids, for feedback, where the body has no place for them."""
    if len(answers.ids) > MOST_IDS:
        return ()
    return ((IDS_HEADER, ",".join(answers.ids).encode()),)


def values(answers: Answers, *, probabilities: bool) -> list[Any]:
    """One value per row: the prediction, or the list of probabilities in the order of the classes."""
    if not probabilities:
        return answers.labels
    if not answers.probabilities:
        raise malformed("this model gives no probabilities; ask for its predictions")
    return [list(row) for row in zip(*answers.probabilities.values(), strict=True)]


def wants_probabilities(plane: DataPlane, request: Request, content: Mapping[str, Any], field: str) -> bool:
    """Whether the options in `field` ask for probabilities; other options are for other models, and ignored."""
    options = content.get(field)
    if options is None:
        return False
    if not isinstance(options, dict):
        raise malformed(f'"{field}" must be an object, not {described(options)}')
    asked = options.get("probabilities", False)
    if not isinstance(asked, bool):
        raise malformed(f'"{field}".probabilities must be true or false, not {described(asked)}')
    if asked:
        check_classes(plane, request)
    return asked


def check_classes(plane: DataPlane, request: Request) -> None:
    """Raises Refused when the live model predicts numbers, which have no probabilities."""
    if plane.live(request).model.contract.target.is_regression:
        raise malformed("this model predicts numbers, which have no probabilities; ask for its predictions")


def preferred(request: Request, offers: Sequence[str]) -> str:
    """The one of `offers` that the header Accept likes best; the first where it likes several equally, or none."""
    accept = request.headers.get(b"accept")
    if not accept:
        return offers[0]
    likings = dict(map(_liking, accept.decode("latin-1").lower().split(",")))
    return max(offers, key=lambda offer: _liked(offer, likings))


def _liking(item: str) -> tuple[str, float]:
    """`text/csv;q=0.5` as its type and 0.5; what cannot be read is not liked."""
    name, *parameters = (part.strip() for part in item.split(";"))
    weight = next((value.removeprefix("q=") for value in parameters if value.startswith("q=")), "1")
    return name, float(weight) if weight.replace(".", "", 1).isdecimal() and weight.isascii() else 0.0


def _liked(offer: str, likings: Mapping[str, float]) -> float:
    kind = f"{offer.partition('/')[0]}/*"
    return next((likings[name] for name in (offer, kind, "*/*") if name in likings), 0.0)
