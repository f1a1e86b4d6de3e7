"""Numbers written for people: with a decimal comma, separators for thousands, a currency or a per-cent sign.

They are recognised, never converted: whether `1,234` is one or a thousand is for a person to say.
"""

import pandas as pd

SPACES = " \u00a0\u202f"
WITH_COMMA = rf"^[+-]?(\d+|\d{{1,3}}([.'{SPACES}]\d{{3}})+),\d+$"
SIGN = r"([$€£¥₹%‰]|[A-Z]{1,2}\$|EUR|USD|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN)"
FIGURE = rf"(\d{{1,3}}([,.'{SPACES}]\d{{3}})+([.,]\d+)?|\d*[.,]?\d+)"
GROUPED = r"\d{1,3}([,']\d{3})+(\.\d+)?"
AMOUNT = rf"^[(+-]?({SIGN}[{SPACES}]?[+-]?{FIGURE}|{FIGURE}[{SPACES}]?{SIGN}|{GROUPED})\)?$"
MOST_SHARE = 0.5
FEW_SHARE = 0.05


def amount(values: pd.Series) -> str | None:
    """An example, with its row, when at least half of the texts in a canonical column are numbers with signs or separators."""
    known = values.dropna()
    if known.empty or not pd.api.types.is_string_dtype(known):
        return None
    found = _like(known, AMOUNT)
    return _example(known, found) if float(found.mean()) >= MOST_SHARE else None


def with_comma(known: pd.Series, is_number: pd.Series) -> str | None:
    """An example, with its row, when texts of which `is_number` can be read are mostly numbers, and some have a comma."""
    found = _like(known, WITH_COMMA)
    few = float(found.mean()) < FEW_SHARE or float((found | is_number).mean()) < MOST_SHARE
    return None if few else _example(known, found)


def _like(known: pd.Series, form: str) -> pd.Series:
    return known.astype(str).str.match(form).astype(bool)


def _example(known: pd.Series, found: pd.Series) -> str:
    row = known.index[found][0]
    return f"{str(known[row])[:60]!r} in row {int(row) + 1}"
