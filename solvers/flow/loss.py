"""Exponential and logistic loss in the log domain: margins of 1e13 are as good as margins of 1.

L = sum_i l(q_i) with l(q) = exp(-q) or log(1 + exp(-q)). Gradient flow needs -l'(q_i) up to a
common factor only: p = softmax(log(-l'(q_i))), with log(-l') = -q or -log(1 + e^q).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit

Vector = NDArray[np.float64]
LossName = Literal["exponential", "logistic"]

LOG_LOSS_AT_ZERO = {"exponential": 0.0, "logistic": float(np.log(np.log(2.0)))}
"""log l(0): below it every example is on the right side (Lyu and Li 2020)."""


@dataclass(frozen=True)
class Pull:
    """How strongly each example pulls: ``weights`` (n, sum 1) times exp(``log_factor``) = -l'.

    ``decay`` (n) is -d log(-l')/dq: 1 for the exponential loss, e^q/(1 + e^q) for the logistic.
    """

    weights: Vector
    log_factor: float
    decay: Vector


def _log_sum(logs: Vector) -> float:
    """The logarithm of a sum of exponentials, without overflow."""
    top = float(logs.max())
    return top + float(np.log(np.exp(logs - top).sum()))


def pull(loss: LossName, margins: Vector) -> Pull:
    """The weights of the examples at ``margins`` (n)."""
    if loss == "exponential":
        logs, decay = -margins, np.ones_like(margins)
    else:
        logs = np.asarray(log_expit(-margins), dtype=np.float64)
        decay = np.exp(log_expit(margins))
    shares = np.exp(logs - logs.max())
    return Pull(shares / shares.sum(), _log_sum(logs), decay)


def log_loss(loss: LossName, margins: Vector) -> float:
    """The logarithm of L at n margins, for margins of any size."""
    if loss == "exponential":
        return _log_sum(-margins)
    # log log(1 + e^-q): for large q it is -q, and the inner function is e^-q itself.
    terms = -np.asarray(log_expit(margins), dtype=np.float64)
    with np.errstate(divide="ignore"):
        logs = np.where(margins > 30.0, -margins, np.log(terms))
    return _log_sum(logs)


def inverse_loss(loss: LossName, log_value: float) -> float:
    """The margin q at which l(q) is exp(``log_value``): Lyu and Li's numerator."""
    if loss == "exponential" or log_value < -30.0:
        return -log_value
    return -float(np.log(np.expm1(np.exp(log_value))))
