"""What the benchmark measured: this gallery beside its peers, as tidy tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import pandas as pd

from radon_gallery._checks import listed

__all__ = ["Benchmark", "load_benchmark", "read_benchmark"]

_PARTS: Final = ("measured", "machine", "peers", "settings", "targets", "records", "summary")
_RECORD: Final = ("measure", "peer", "case")
_SUMMARY: Final = (*_RECORD, "quantity", "unit", "median", "low", "high", "n", "ratio")
_TARGET: Final = ("name", "sense", "limit", "measured", "met")
_PEER: Final = ("title", "python", "versions", "threads", "notes")


@dataclass(frozen=True, eq=False)
class Benchmark:
    """One run of the benchmark.

    Parameters
    ----------
    measured : pandas.Timestamp
        The day on which it ran.
    machine : dict
        `cpu`, `cores`, `memory_gib` and `system`.
    settings : dict
        How much was done: batch, rounds, budgets and so on. ``settings["range"]`` says what `low`
        and `high` of the summary are, ``settings["ratio_to"]`` whom its ratios are to.
    peers : pandas.DataFrame, one row a peer
        `title`, `python`, `versions` (one line), `threads` and `notes`: how it was set, and why.
    records : pandas.DataFrame, one row a run
        `measure`, `peer`, `case`, and what was measured; `error` where a run failed.
    summary : pandas.DataFrame, one row a quantity
        `measure`, `peer`, `case`, `rows`, `quantity`, `unit`, `median`, `low`, `high`, `n`,
        `ratio`.
    targets : pandas.DataFrame, one row a target
        `name`, `sense` (``"<="`` or ``">="``), `limit`, `measured`, `met`.
    """

    measured: pd.Timestamp
    machine: dict[str, Any]
    settings: dict[str, Any]
    peers: pd.DataFrame
    records: pd.DataFrame
    summary: pd.DataFrame
    targets: pd.DataFrame

    def select(self, measure: str, quantity: str) -> pd.DataFrame:
        """Return the summary of one quantity of one measure.

        Parameters
        ----------
        measure : str
            Such as ``"advi step"``.
        quantity : str
            Such as ``"microseconds"``.

        Returns
        -------
        pandas.DataFrame, one row a peer and case
            `peer`, `title`, `case`, `rows`, `median`, `low`, `high`, `n`, `ratio`.

        Raises
        ------
        ValueError
            If there is no such measure or quantity; the message lists those that there are.
        """
        for column, value in {"measure": measure, "quantity": quantity}.items():
            known = self.summary[column].unique()
            if value not in known:
                raise ValueError(
                    f"the benchmark has no {column} {value!r}; it has {listed(sorted(known))}."
                )
        chosen = self.summary.query("measure == @measure and quantity == @quantity")
        table = chosen.assign(title=chosen["peer"].map(self.peers["title"]))
        columns = ["peer", "title", "case", "rows", "median", "low", "high", "n", "ratio"]
        return table[columns].reset_index(drop=True)


def load_benchmark() -> Benchmark:
    """Load the benchmark that the package carries.

    It is made by ``nox -s bench``; how, is told in ``benchmarks/README.md``.

    Returns
    -------
    Benchmark
        The run.
    """
    file = files("radon_gallery") / "_data" / "benchmark.json"
    return read_benchmark(json.loads(file.read_text()))


def read_benchmark(content: Mapping[str, Any]) -> Benchmark:
    """Check the content of a benchmark's file and turn it into tables.

    Parameters
    ----------
    content : mapping
        The file's JSON object.

    Returns
    -------
    Benchmark
        The run.

    Raises
    ------
    ValueError
        If a part or a field is missing, or a record is of a peer that the file does not describe.
    """
    _require("the benchmark", _PARTS, content)
    for name, about in content["peers"].items():
        _require(f"peer {name!r}", _PEER, about)
    wanted = {"records": _RECORD, "summary": _SUMMARY, "targets": _TARGET}
    for part, fields in wanted.items():
        for number, entry in enumerate(content[part]):
            _require(f"entry {number} of {part}", fields, entry)
    measured = [entry for entry in content["records"] if "error" not in entry]
    strangers = {entry["peer"] for entry in measured} - set(content["peers"])
    if strangers:
        raise ValueError(
            f"the benchmark has records of {listed(sorted(strangers))}, but describes only "
            f"{listed(content['peers'])}; run `nox -s bench` again."
        )
    peers = pd.DataFrame.from_dict(content["peers"], orient="index")
    peers["versions"] = peers["versions"].map(
        lambda versions: ", ".join(f"{name} {number}" for name, number in versions.items())
    )
    summary = pd.DataFrame(content["summary"], columns=[*_RECORD, "rows", *_SUMMARY[3:]])
    return Benchmark(
        measured=pd.Timestamp(content["measured"]),
        machine=dict(content["machine"]),
        settings=dict(content["settings"]),
        peers=peers,
        records=pd.DataFrame(content["records"]),
        summary=summary.astype({"rows": "Int64"}),
        targets=pd.DataFrame(content["targets"], columns=list(_TARGET)),
    )


def _require(whose: str, fields: tuple[str, ...], entry: Mapping[str, Any]) -> None:
    """Raise a ValueError that names the fields which an entry lacks."""
    missing = [field for field in fields if field not in entry]
    if missing:
        raise ValueError(
            f"{whose} lacks {listed(missing)}; it has {listed(entry)}. Run `nox -s bench` again."
        )
