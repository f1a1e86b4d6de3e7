"""The kinds of findings: a closed set, and those of them that make a window `data_quality`."""

from typing import Literal, get_args

Kind = Literal[
    "constant_moved",
    "duplicated_rows",
    "frozen",
    "infinite",
    "missing_column",
    "new_categories",
    "new_segment",
    "null_surge",
    "out_of_range",
    "time_gap",
    "two_spellings",
    "type_change",
    "unchecked",
    "unit_change",
    "volume_jump",
]
KINDS: frozenset[str] = frozenset(get_args(Kind))
NOTES: frozenset[str] = frozenset(
    {"constant_moved", "new_segment", "time_gap", "two_spellings", "unchecked", "volume_jump"}
)
"""Worth telling, but the values that are there may be sound: a new shop, a quiet night, a switch that is used at last."""
BREAKS: frozenset[str] = KINDS - NOTES
"""Nothing must be learnt from a window with one of these."""
