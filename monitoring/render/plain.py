"""Texts that callers chose, made plain before a picture is drawn of them: no markup, no control characters, none too long.

Evidently's page, its UI and the charts in both take some texts for markup. What never enters them cannot come out.
"""

import unicodedata
from collections.abc import Iterable
from itertools import chain, count

MOST_CHARACTERS = 60
ALIKE = {"<": "‹", ">": "›", "&": "＆"}
UNSEEN = "\N{REPLACEMENT CHARACTER}"


def plain(text: str) -> str:
    """`text` as it can be shown anywhere: signs of markup as ones that look alike, and what is not seen as one that is.

    The latter are control characters, line separators, marks of direction and lone surrogates. A long text is cut.
    """
    shown = "".join(ALIKE.get(sign, UNSEEN if _is_unseen(sign) else sign) for sign in text[:MOST_CHARACTERS])
    return shown if len(text) <= MOST_CHARACTERS else shown[:-1] + "…"


def distinct(texts: Iterable[str]) -> list[str]:
    """`plain` of each; one that would be the same as another before it is numbered."""
    found: dict[str, None] = {}
    for shown in map(plain, texts):
        names = chain([shown], (f"{shown} ({number})" for number in count(2)))
        found[next(name for name in names if name not in found)] = None
    return list(found)


def _is_unseen(sign: str) -> bool:
    category = unicodedata.category(sign)
    return category.startswith("C") or category in ("Zl", "Zp")
