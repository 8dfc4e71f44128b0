"""The KKT question: multipliers, residual, and the proof of either answer."""

from solvers.kkt.decide import kkt_finding
from solvers.kkt.finding import ACTIVE, EXPLICIT_LIMIT, KinkSlope, KktFinding

__all__ = ["ACTIVE", "EXPLICIT_LIMIT", "KinkSlope", "KktFinding", "kkt_finding"]
