"""Signs that a window is broken rather than changed, each a sentence with its evidence."""

from monitoring.quality.findings import findings
from monitoring.quality.kinds import BREAKS, KINDS
from monitoring.quality.pairs import WindowFacts

__all__ = ["BREAKS", "KINDS", "WindowFacts", "findings"]
