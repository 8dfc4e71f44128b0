"""The KKT question: multipliers, residual, and the proof of either answer."""

from solvers.stationarity.decide import kkt_finding
from solvers.stationarity.finding import ACTIVE, EXPLICIT_LIMIT, KinkSlope, KktFinding

__all__ = ["ACTIVE", "EXPLICIT_LIMIT", "KinkSlope", "KktFinding", "kkt_finding"]
