"""From records to a summary and to the targets: medians, ranges, ratios."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Final

Record = Mapping[str, Any]

#: The peer that the others are compared with.
REFERENCE: Final = "gallery-pytensor"

#: What is summarised, and its unit.
UNITS: Final = {
    "microseconds": "µs a step",
    "compile_seconds": "s",
    "seconds": "s",
    "cpu_seconds": "s",
    "after_imports": "s",
    "steps": "steps",
    "gap": "nats",
    "ess_a_second": "bulk ESS a second",
    "draws_a_second": "draws a second",
    "worst_ess": "bulk ESS",
    "worst_r_hat": "1",
    "divergences": "draws",
    "memory_mib": "MiB",
    "peak_mib": "MiB",
    "growth_mib": "MiB",
    "over_data_mib": "MiB",
    "evidence_change": "nats",
    "mean_change": "log pCi/L",
    "sd_change": "log pCi/L",
}

_KEYS: Final = ("measure", "peer", "case", "rows")


def summarise(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return median and range of each quantity of each case, and its ratio to the reference."""
    values: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for record in records:
        where = tuple(record.get(key) for key in _KEYS)
        for quantity in UNITS:
            if record.get(quantity) is not None:
                values[*where, quantity].append(float(record[quantity]))
    middle = {where: median(found) for where, found in values.items()}
    summary = []
    for (measure, peer, case, rows, quantity), found in values.items():
        of_reference = middle.get((measure, REFERENCE, case, rows, quantity))
        now = middle[measure, peer, case, rows, quantity]
        summary.append(
            {"measure": measure, "peer": peer, "case": case}
            | ({} if rows is None else {"rows": rows})
            | {"quantity": quantity, "unit": UNITS[quantity], "n": len(found)}
            | {"median": now, "low": min(found), "high": max(found)}
            | {"ratio": now / of_reference if of_reference else None}
        )
    return summary


def judge_targets(summary: Sequence[Record]) -> list[dict[str, Any]]:
    """Compare what was measured with what was aimed at; the worst case counts."""

    def find(measure: str, peer: str, quantity: str, **where: Any) -> dict[str, float]:
        return {
            entry["case"]: entry["median"]
            for entry in summary
            if (entry["measure"], entry["peer"], entry["quantity"]) == (measure, peer, quantity)
            and all(entry.get(key) == value for key, value in where.items())
        }

    def steps(peer: str) -> dict[str, float]:
        return find("advi step", peer, "microseconds")

    def ratios(above: Mapping[str, float], below: Mapping[str, float]) -> list[float]:
        return [above[case] / below[case] for case in above if case in below]

    def of_exact(quantity: str) -> list[float]:
        return list(find("exact", "exact", quantity).values())

    def of_rows(rows: int) -> dict[str, float]:
        return find("scaling", REFERENCE, "microseconds", rows=rows)

    ours = steps(REFERENCE)
    first_loss = find("second process", REFERENCE, "seconds")
    changes = of_exact("mean_change") + of_exact("sd_change")
    wanted: list[tuple[str, str, float, list[float]]] = [
        ("step, PyTensor edition over the loop by hand", "<=", 1.5, ratios(ours, steps("hand"))),
        (
            "step, PyTensor edition over the loop by hand with softplus",
            "<=",
            1.5,
            ratios(ours, steps("hand-softplus")),
        ),
        (
            "step, pm.fit of PyMC 6 over PyTensor edition",
            ">=",
            10,
            ratios(steps("pymc-pytensor"), ours),
        ),
        (
            "step, NumPyro with a plate over PyTensor edition",
            ">=",
            10,
            ratios(steps("numpyro-plate"), ours),
        ),
        (
            "step, NumPyro at its fastest over PyTensor edition",
            ">=",
            10,
            ratios(steps("numpyro"), ours),
        ),
        (
            "step, pm.fit of PyMC 4 over Aesara edition",
            *(">=", 1.5, ratios(steps("pymc-aesara"), steps("gallery-aesara"))),
        ),
        ("step, 10 million rows over 919", "<=", 1.5, ratios(of_rows(10**7), of_rows(919))),
        (
            "seconds to the first loss, warm cache",
            "<=",
            10,
            [first_loss[c] for c in first_loss if c == "warm"],
        ),
        ("seconds for the exact answer", "<=", 1, of_exact("seconds")),
        (
            "MB of memory for the exact answer",
            "<=",
            500,
            [m * 1.048576 for m in of_exact("memory_mib")],
        ),
        (
            "nats that the log evidence moves in refining by two",
            "<=",
            1e-3,
            of_exact("evidence_change"),
        ),
        ("log pCi/L that any mean or sd moves in refining by two", "<=", 1e-4, changes),
    ]
    targets = []
    for name, sense, limit, measured in wanted:
        if measured:
            worst = (max if sense == "<=" else min)(measured)
            met = worst <= limit if sense == "<=" else worst >= limit
            targets.append(
                {"name": name, "sense": sense, "limit": limit, "measured": worst, "met": met}
            )
    return targets


def shorten(value: Any, digits: int = 5) -> Any:
    """Round every float within nested lists and objects to so many significant digits."""
    match value:
        case bool() | int() | str() | None:
            return value
        case float():
            return float(f"{value:.{digits}g}")
        case Mapping():
            return {key: shorten(each, digits) for key, each in value.items()}
        case _:
            return [shorten(each, digits) for each in value]


def rotate(peers: Sequence[Any], by: int) -> list[Any]:
    """Return the peers in an order that starts elsewhere in each round."""
    start = by % len(peers) if peers else 0
    return [*peers[start:], *peers[:start]]
