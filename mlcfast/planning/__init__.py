"""Memory and time of a training step, predicted without a GPU."""

from mlcfast.planning.for_run import out_of_memory, planned
from mlcfast.planning.format import advice, as_json, as_table
from mlcfast.planning.planner import Estimate, Plan, Planner
from mlcfast.planning.state import Settings
from mlcfast.planning.trace import StepTrace, Tracer

__all__ = [
    "Estimate",
    "Plan",
    "Planner",
    "Settings",
    "StepTrace",
    "Tracer",
    "advice",
    "as_json",
    "as_table",
    "out_of_memory",
    "planned",
]
