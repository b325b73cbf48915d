"""Where a run is shown besides its directory: TensorBoard, MLflow, Weights & Biases, and trackers of one's own."""

from mlcfast.runs.trackers.base import Scalars, TrackedRun, Tracker
from mlcfast.runs.trackers.build import make_trackers, sent_later
from mlcfast.runs.trackers.courier import say_outcome
from mlcfast.runs.trackers.delivery import Delivery

__all__ = ["Delivery", "Scalars", "TrackedRun", "Tracker", "make_trackers", "say_outcome", "sent_later"]
