"""That a server answers rightly, so that none is fast by erring."""

from collections.abc import Sequence


class NotServed(Exception):
    """A server did not come up, or did not give the right answers; the sentence says which."""


def prove(found: Sequence[int], wanted: Sequence[int]) -> None:
    """Raises NotServed unless the labels `found` are those `wanted`, one for one."""
    if len(found) != len(wanted):
        raise NotServed(f"it answered {len(found)} labels for {len(wanted)} rows")
    wrong = sum(one != other for one, other in zip(found, wanted, strict=True))
    if wrong:
        raise NotServed(f"{wrong} of its {len(found)} labels are not those of scikit-learn")
