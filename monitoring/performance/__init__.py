"""How well a version does on a window: measured where labels came, estimated where they did not."""

from monitoring.performance.calibration import calibration_gap
from monitoring.performance.estimates import Estimates, estimate
from monitoring.performance.loss import is_lost, loss_threshold
from monitoring.performance.measured import measure

__all__ = ["Estimates", "calibration_gap", "estimate", "is_lost", "loss_threshold", "measure"]
