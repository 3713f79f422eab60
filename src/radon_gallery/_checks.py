"""Checks of what enters the package; each says what was expected, what came and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = [
    "finite_numbers",
    "listed",
    "reject_rows",
    "require_choice",
    "require_count",
    "require_number",
    "require_same_length",
    "require_type",
    "require_vector",
    "shortened",
    "whole_numbers",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SHOWN = 5  # offending entries named in a message


def listed(names: Iterable[object]) -> str:
    """Return the names quoted, with commas between."""
    return ", ".join(repr(name) for name in names)


def shortened(entries: list[str]) -> str:
    """Return the first entries with commas between, and how many more there are."""
    more = f" and {len(entries) - _SHOWN} more" if len(entries) > _SHOWN else ""
    return ", ".join(entries[:_SHOWN]) + more


def require_choice(name: str, value: object, known: Iterable[str]) -> None:
    """Raise a ValueError that lists the known values unless `value` is one of them."""
    if value not in list(known):
        raise ValueError(f"unknown {name} {value!r}; choose one of {listed(sorted(known))}.")


def require_count(name: str, value: object, *, at_least: int = 1) -> None:
    """Raise a TypeError or ValueError unless `value` is a whole number of at least `at_least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(
            f"{name} must be a whole number, got {value!r} of type {type(value).__name__}."
        )
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}.")


def require_type(name: str, value: object, *expected: type) -> None:
    """Raise a TypeError that tells all the types unless `value` is of an expected one."""
    if not isinstance(value, expected):
        wanted = " or ".join(kind.__name__ for kind in expected)
        raise TypeError(f"{name} must be of type {wanted}, got {type(value).__name__}.")


def require_vector(name: str, array: npt.NDArray[Any]) -> None:
    """Raise a ValueError that tells the shape unless `array` has one dimension."""
    if array.ndim != 1:
        raise ValueError(f"{name} must be one vector, got an array of shape {array.shape}.")


def require_number(name: str, value: object) -> None:
    """Raise a TypeError that tells the type unless `value` is one real number."""
    number = np.asarray(value)
    if number.ndim or number.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be a number, got {value!r} of type {type(value).__name__}.")


def require_same_length(**vectors: npt.NDArray[Any]) -> None:
    """Raise a ValueError that tells the lengths unless all are the same."""
    for name, vector in vectors.items():
        require_vector(name, vector)
    lengths = {name: len(vector) for name, vector in vectors.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise ValueError(f"vectors must be of one length, one entry a row; {told}.")


def reject_rows(name: str, values: npt.ArrayLike, bad: npt.ArrayLike, expected: str) -> None:
    """Raise a ValueError that names the rows in which `bad` holds, if there are any."""
    rows = np.flatnonzero(bad)
    if rows.size:
        column = np.asarray(values, dtype=object)  # so that numbers print as plain numbers
        shown = shortened([f"row {row} has {column[row]!r}" for row in rows])
        raise ValueError(
            f"{name} must be {expected} in every row; {rows.size} of {column.size} rows are not "
            f"(counted from 0): {shown}. Mend or drop them."
        )


def finite_numbers(name: str, values: npt.ArrayLike) -> FloatArray:
    """Return a copy as float64, shape (n,), or say which rows are not finite numbers."""
    if isinstance(values, np.ma.MaskedArray):  # as an array it would show what the mask hides
        values = np.where(values.mask, np.nan, values.data)
    raw = np.asarray(values)
    require_vector(name, raw)
    if raw.dtype.kind in "biuf":
        numbers = raw.astype(np.float64)
    else:
        # Text is refused even where it could be read as a number: it hides a mistake upstream.
        entries = pd.Series(raw, dtype=object)
        no_number = entries.map(lambda entry: isinstance(entry, str | bytes | complex))
        numbers = pd.to_numeric(entries.mask(no_number), errors="coerce").to_numpy(np.float64)
    reject_rows(name, raw, ~np.isfinite(numbers), "a finite number")
    return numbers


def whole_numbers(name: str, values: npt.ArrayLike, *, below: int, expected: str) -> IntArray:
    """Return a copy as int64, shape (n,), or say which rows are not among 0, …, `below` - 1."""
    numbers = finite_numbers(name, values)
    bad = (numbers != np.floor(numbers)) | (numbers < 0) | (numbers >= below)
    reject_rows(name, values, bad, expected)
    return numbers.astype(np.int64)
