"""Labels as feedback delivers them: by the id of a prediction, or by the caller's own id. Each is taken, or rejected with a reason."""

from dataclasses import dataclass
from datetime import datetime

from lifecycle.clock import from_datetime
from lifecycle.errors import InputRejected
from lifecycle.ids import is_uuid7, milliseconds_of
from lifecycle.privacy import PrivacyRules
from lifecycle.records import Label
from service.live import Live

SLACK_MILLISECONDS = 60_000
"""A label may name a prediction whose clock ran this far ahead of ours; no prediction is of a later moment."""
ID, EXTERNAL_ID = "id", "external_id"


@dataclass(frozen=True)
class Rejection:
    """A label that was not taken: its place in the request, from 0, and why. An id is repeated only where it could be one."""

    place: int
    id: str | None
    reason: str
    external_id: str | None = None


@dataclass(frozen=True)
class LabelReader:
    """Reads the labels of one request, received `now` (microseconds since 1970).

    Each counts as received as many microseconds later as is its place, so that of two for one prediction the later wins.
    """

    live: Live
    rules: PrivacyRules
    now: int
    key_id: str | None

    def read(self, place: int, item: object) -> Label | Rejection:
        """`{"id" or "external_id", "label", "observed_at"?}` as it is recorded, or why not."""
        if not isinstance(item, dict):
            return Rejection(place, None, "is not an object with id and label")
        named = [name for name in (ID, EXTERNAL_ID) if item.get(name) is not None]
        if len(named) != 1:
            both = "has both id and external_id" if named else "has neither id nor external_id"
            return Rejection(place, None, f"{both}; send the one that you know the prediction by")
        identifier = external = said = None
        if named == [EXTERNAL_ID]:
            try:
                external = self.rules.external_id(item[EXTERNAL_ID])
            except InputRejected as error:
                return Rejection(place, None, str(error))
            said = str(item[EXTERNAL_ID])
        else:
            identifier = item.get(ID)
            if not isinstance(identifier, str) or not _could_be_ours(identifier, self.now):
                return Rejection(place, None, "id is not the id of a prediction")
        if "label" not in item:
            return Rejection(place, identifier, "has no label", said)
        try:
            observed = _moment(item.get("observed_at"), self.now)
            stored = self.live.model.contract.label(item["label"])
        except InputRejected as error:
            return Rejection(place, identifier, str(error), said)
        return Label(identifier, stored, observed, self.now + place, self.key_id, external)


def _could_be_ours(identifier: str, now: int) -> bool:
    """Whether a prediction may have this id: any but one of a time yet to come.

    Imported predictions may be of any day, long before the project began. Days that have none get no folder from a label.
    """
    return is_uuid7(identifier) and milliseconds_of(identifier) <= now // 1000 + SLACK_MILLISECONDS


def _moment(value: object, now: int) -> int:
    if value is None:
        return now
    if not isinstance(value, str):
        raise InputRejected("observed_at is not a text")
    try:
        observed = from_datetime(datetime.fromisoformat(value))
    except (ValueError, OverflowError) as error:
        raise InputRejected("observed_at is not a date and time in ISO 8601") from error
    if not 0 <= observed <= now + SLACK_MILLISECONDS * 1000:
        raise InputRejected("observed_at is before 1970 or in a time yet to come")
    return observed
