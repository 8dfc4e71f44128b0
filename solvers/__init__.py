"""margincert: proofs of optimality for margin-maximising homogeneous networks."""

from solvers.budget import Budget
from solvers.certification import Certification, certify, kkt
from solvers.errors import (
    BudgetExceeded,
    ContradictionError,
    FieldError,
    InputError,
    MargincertError,
    UnsupportedNetworkError,
)
from solvers.findings import Answer, Verdict
from solvers.network import Network
from solvers.options import Options

__all__ = [
    "Answer",
    "Budget",
    "BudgetExceeded",
    "Certification",
    "ContradictionError",
    "FieldError",
    "InputError",
    "MargincertError",
    "Network",
    "Options",
    "UnsupportedNetworkError",
    "Verdict",
    "certify",
    "kkt",
]
