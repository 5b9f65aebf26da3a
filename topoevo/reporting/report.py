"""The report of a champion as JSON and as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from topoevo.experiment.report import CONDITIONS, Condition, Curve, Report

_NAMES = {
    **CONDITIONS,
    "ensemble_vote": "ensemble, vote",
    "ensemble_log_probability": "ensemble, mean log-probability",
}
#: Decimals of columns that are no returns.
_DECIMALS = {"accuracy": 4, "rmse": 6}


def report_json(report: Report) -> dict[str, Any]:
    """Return a report as JSON values; null is a number that is not there.

    Parameters
    ----------
    report
        What was found.

    Returns
    -------
    dict
        ``conditions`` by name, each with ``num_weights``, ``num_trials``, ``num_failed``, ``shared_weight`` and, for
        ``reward`` and everything else that is measured, ``<name>`` (mean), ``<name>_sd`` (over all weights and trials),
        ``<name>_sd_of_weights`` (of the means of the sets of weights), ``<name>_min``, ``<name>_max``. ``curve`` with
        lists of equal length. ``shared_weights``, and how the report was made.
    """
    return {
        "shared_weights": list(report.shared_weights),
        **report.facts,
        "conditions": {name: _condition(condition) for name, condition in report.conditions.items()},
        "curve": None if report.curve is None else _curve(report.curve),
    }


def _condition(condition: Condition) -> dict[str, Any]:
    """One condition as JSON."""
    found: dict[str, Any] = {
        "num_weights": condition.num_weights,
        "num_trials": condition.num_trials,
        "num_failed": condition.num_failed,
        "shared_weight": None if condition.shared_weight is None else round(condition.shared_weight, 6),
    }
    for name, values in condition.values.items():
        valid = values[~np.isnan(values)]
        found[name] = condition.mean(name)
        found[f"{name}_sd"] = condition.sd(name)
        found[f"{name}_sd_of_weights"] = condition.sd_of_weights(name)
        found[f"{name}_min"] = float(valid.min()) if len(valid) else None
        found[f"{name}_max"] = float(valid.max()) if len(valid) else None
    return found


def _curve(curve: Curve) -> dict[str, Any]:
    """The curve as JSON."""
    found: dict[str, Any] = {"shared_weight": [round(float(weight), 6) for weight in curve.shared_weights]}
    for name, values in curve.values.items():
        rows = [Condition({name: row[np.newaxis]}) for row in values]
        found[name] = [row.mean(name) for row in rows]
        found[f"{name}_sd"] = [row.sd(name) for row in rows]
    return found


def report_lines(report: Report) -> list[str]:
    """Return a report as a table in plain lines.

    Parameters
    ----------
    report
        What was found.
    """
    conditions = report.conditions
    is_episodes = any("steps" in one.values for one in conditions.values())
    measured = list(dict.fromkeys(name for one in conditions.values() for name in one.values if name != "steps"))
    # What a classification is judged by comes first.
    measured.sort(key=lambda name: name != "accuracy")
    titles = {"reward": "return" if is_episodes else "reward"}
    header = ["", *(word for name in measured for word in (titles.get(name, name), "sd")), "weights"]
    rows = [[*header, "episodes each"] if is_episodes else header]
    for name, one in conditions.items():
        cells = [_name(name, one, report.shared_weights)]
        for measure in measured:
            cells += [_number(one.mean(measure), measure), _number(one.sd(measure), measure)]
        cells += [str(one.num_weights), *([str(one.num_trials)] if is_episodes else [])]
        rows.append([*cells, f"{one.num_failed} failed"] if one.num_failed else cells)
    width = max(len(row) for row in rows)
    rows = [[*row, *[""] * (width - len(row))] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    reason = report.facts.get("first_failure")
    return [*(_aligned(row, widths) for row in rows), *([f"an episode failed: {reason}"] if reason else [])]


def _name(name: str, condition: Condition, shared_weights: Sequence[float]) -> str:
    """A condition on the screen."""
    if condition.shared_weight is not None:
        return f"{_NAMES[name]} {condition.shared_weight:g}"
    if name == "mean_shared_weights":
        return f"mean of {len(shared_weights)} shared weights"
    return _NAMES[name]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    """A line of the table, names to the left and numbers to the right."""
    cells = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join([f"{row[0]:<{widths[0]}}", *cells]).rstrip()


def _number(value: float | None, name: str) -> str:
    """A mean or a standard deviation."""
    if value is None:
        return "-"
    decimals = _DECIMALS.get(name, 1 if abs(value) >= 10 else 3)
    return f"{value:.{decimals}f}"
