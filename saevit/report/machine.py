"""CSV of rows that are dictionaries."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from saevit.report.columns import Column, write_csv


def csv_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Write rows under their names (None: those of all rows)."""
    names = columns or list(dict.fromkeys(name for row in rows for name in row))
    return write_csv([Column(key=name, value=partial(find, name=name)) for name in names], rows)


def find(row: Mapping[str, Any], name: str) -> Any:
    """Return the value under a name, None if there is none."""
    return row.get(name)
