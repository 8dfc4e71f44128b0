"""The KKT question: multipliers, residual, and the proof of either answer."""

from solvers.stationarity.decide import kkt_finding
from solvers.stationarity.finding import ACTIVE, EXPLICIT_LIMIT, KinkSlope, KktFinding
from solvers.stationarity.report import DELTAS, KktReport, kkt_report, trade_off

__all__ = [
    "ACTIVE",
    "DELTAS",
    "EXPLICIT_LIMIT",
    "KinkSlope",
    "KktFinding",
    "KktReport",
    "kkt_finding",
    "kkt_report",
    "trade_off",
]
