"""Compares two models on the same images, label by label."""

from collections.abc import Mapping, Sequence
from typing import Any

from mlcfast.evaluation.bootstrap import LEVEL, RESAMPLES, ap_differences
from mlcfast.evaluation.gather import EvaluationResult


def compare(first: EvaluationResult, second: EvaluationResult, checkpoints: Sequence[str]) -> dict[str, Any]:
    """What a comparison adds to the first model's report: checkpoint, against, resamples and level.

    first, second: of the same images. `against` is the second's report with its checkpoint and `difference`:
    first − second in AP with its bootstrap interval, in percent.
    """
    each, mean = ap_differences(second.scores, first.scores, first.labels)
    differences = {name: _percent(*values) for name, *values in zip(first.names, *each, strict=True)}
    against = {
        "checkpoint": checkpoints[1],
        **second.report,
        "difference": {"mAP": _percent(*mean), "per_label": differences},
    }
    return {"checkpoint": checkpoints[0], "against": against, "resamples": RESAMPLES, "level": LEVEL}


def comparison_table(report: Mapping[str, Any]) -> str:
    """The comparison as lines a person reads: labels by difference, those that are sure marked with *."""
    against, names = report["against"], list(report["per_label"])
    differences = against["difference"]["per_label"]
    width = max(len("label"), *(len(name) for name in names))
    lines = [
        f"A  {report['checkpoint']}",
        f"B  {against['checkpoint']}",
        f"{'label':<{width}}    AP A    AP B   A − B  {report['level']:.0%} interval",
    ]
    for name in sorted(names, key=lambda name: differences[name]["value"]):
        lines.append(_line(name, width, report["per_label"][name], against["per_label"][name], differences[name]))
    lines.append(_line("mAP", width, report["mAP"], against["mAP"], against["difference"]["mAP"]))
    drawn = f"{report['images']} images drawn {report['resamples']} times; *: the interval does not hold 0"
    return "\n".join([*lines, f"values in percent; {drawn}"])


def _line(name: str, width: int, first: float, second: float, difference: Mapping[str, float]) -> str:
    interval = f"[{difference['low']:+6.2f}, {difference['high']:+6.2f}]"
    sure = " *" if difference["low"] > 0 or difference["high"] < 0 else ""
    return f"{name:<{width}}  {first:6.2f}  {second:6.2f}  {difference['value']:+6.2f}  {interval}{sure}"


def _percent(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": 100 * float(value), "low": 100 * float(low), "high": 100 * float(high)}
