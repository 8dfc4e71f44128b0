"""Problem 1 as a mixed-integer program with quadratic constraints.

With W_l(u_l) the layers, a_(i,0) = x_i and R the root of 2 f_max / m:

    min t  s.t.  (m/2) ||u_l||² <= t <= f_max              every layer l,
                 ||incoming||² = ||outgoing||²              neurons with weights of their own,
                 z_(i,l) = W_l(u_l) a_(i,l-1),              bilinear from l = 2 on,
                 a_(i,l) = z_(i,l), or max(z_(i,l), 0) by one binary each,
                 y_i z_(i,m) >= 1.

The raw model has 1/2 ||theta||² <= t in place of the first two lines, and R = root of 2 f_max.
Some optimum is balanced (:mod:`~solvers.spatial.balance`), so the least t is the least
1/2 ||theta||², and |u| <= R there. Lengths are in a unit near ||theta||: theta is the variables
times that length, the data are multiplied by its m-th power.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pyscipopt
from numpy.typing import NDArray
from pyscipopt import quicksum
from pyscipopt.scip import Solution

from solvers.network import Layer
from solvers.problem import Problem
from solvers.spatial.balance import balanced, neuron_weights

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]
Expression = pyscipopt.Expr | float

_ROOM = 1e-6
"""t may exceed f_max by this (relative), so that rounding does not cut the known point off."""


@dataclass(frozen=True)
class Unit:
    """A hidden neuron at one example: pre-activation, activation, and whether it is on."""

    example: int
    neuron: int
    pre: pyscipopt.Variable
    post: pyscipopt.Variable
    on: pyscipopt.Variable


@dataclass(frozen=True)
class Model:
    """SCIP's model of ``problem`` below ``most`` (internal units), and what its variables mean."""

    problem: Problem
    most: float
    scip: pyscipopt.Model
    value: pyscipopt.Variable
    raw: bool
    weights: list[pyscipopt.Variable] = field(default_factory=list)
    units: list[list[Unit]] = field(default_factory=list)

    @property
    def length(self) -> float:
        """Internal length of a variable of size 1: a power of two."""
        return 2.0 ** round(0.5 * math.log2(self.most))

    @property
    def radius(self) -> float:
        """R: a layer's largest norm where the objective is at most ``most``."""
        parts = 1 if self.raw else self.problem.network.depth
        return math.sqrt(2.0 * self.most / parts) / self.length * (1.0 + _ROOM)

    @property
    def data(self) -> Matrix:
        """The inputs in the model's unit (n x d)."""
        return np.asarray(self.problem.x * self.length**self.problem.network.depth)

    @classmethod
    def of(cls, problem: Problem, most: float, *, raw: bool = False) -> Model:
        """The model of all balanced points (``raw``: all) with objective at most ``most``."""
        scip = pyscipopt.Model("problem-1")
        scip.hideOutput()
        model = cls(problem, most, scip, scip.addVar("t", lb=0.0), raw)
        scip.chgVarUb(model.value, most / model.length**2 * (1.0 + _ROOM))
        scip.setObjective(model.value, "minimize")
        network, radius = problem.network, model.radius
        for k in range(network.size):
            model.weights.append(scip.addVar(f"u{k}", lb=-radius, ub=radius))
        model._limit_norms()
        activations: list[list[Expression]] = model.data.tolist()
        sizes: Matrix = model.data
        for layer, part in zip(network.layers[:-1], network.slices[:-1], strict=True):
            sizes = model._reach(layer, sizes)
            activations = model._add_units(layer, model.weights[part], activations, sizes)
        model._add_margins(network.layers[-1], model.weights[network.slices[-1]], activations)
        return model

    def _limit_norms(self) -> None:
        network = self.problem.network
        if self.raw:
            self.scip.addCons(0.5 * self._square(np.arange(network.size)) <= self.value)
            return
        for part in network.slices:
            size = self._square(np.arange(part.start, part.stop))
            self.scip.addCons(0.5 * network.depth * size <= self.value)
        for into, out in neuron_weights(network):
            self.scip.addCons(self._square(into) == self._square(out))

    def _square(self, places: Indices) -> pyscipopt.Expr:
        """Sum of squares of the weights at these places in theta."""
        squares: pyscipopt.Expr = quicksum(self.weights[k] ** 2 for k in places.tolist())
        return squares

    def _reach(self, layer: Layer, sizes: Matrix) -> Matrix:
        """The largest pre-activations (n x outputs) for inputs of these sizes (n x inputs)."""
        reach = np.empty((len(sizes), layer.outputs))
        for neuron, unit in enumerate(np.eye(layer.outputs)):
            forms = layer.gradient(sizes, np.broadcast_to(unit, (len(sizes), layer.outputs)))
            reach[:, neuron] = self.radius * np.linalg.norm(forms, axis=1)
        return reach

    def _add_units(
        self,
        layer: Layer,
        weights: list[pyscipopt.Variable],
        inputs: list[list[Expression]],
        reach: Matrix,
    ) -> list[list[Expression]]:
        """The layer's neurons at every example; what they pass on."""
        units, linear = [], self.problem.network.is_linear
        passed: list[list[Expression]] = []
        for i, row in enumerate(inputs):
            passed.append([])
            for j in range(layer.outputs):
                sum_ = _combination(layer, j, weights, row)
                unit = self._add_unit(i, j, float(reach[i, j]), linear=linear)
                self.scip.addCons(unit.pre == sum_)
                units.append(unit)
                passed[-1].append(unit.post)
        self.units.append(units)
        return passed

    def _add_unit(self, example: int, neuron: int, reach: float, *, linear: bool) -> Unit:
        name = f"{len(self.units)}_{example}_{neuron}"
        pre = self.scip.addVar(f"z{name}", lb=-reach, ub=reach)
        if linear:
            return Unit(example, neuron, pre, pre, pre)
        post = self.scip.addVar(f"a{name}", lb=0.0, ub=reach)
        on = self.scip.addVar(f"s{name}", vtype="B")
        self.scip.addCons(post >= pre)
        self.scip.addCons(post <= reach * on)
        self.scip.addCons(post <= pre + reach * (1 - on))
        return Unit(example, neuron, pre, post, on)

    def _add_margins(
        self, layer: Layer, weights: list[pyscipopt.Variable], inputs: list[list[Expression]]
    ) -> None:
        for label, row in zip(self.problem.y.tolist(), inputs, strict=True):
            self.scip.addCons(label * _combination(layer, 0, weights, row) >= 1.0)

    def add_point(self, theta: Vector) -> None:
        """Hand SCIP a feasible point to begin with."""
        scip, network = self.scip, self.problem.network
        start = balanced(network, theta) / self.length
        trace = network.forward(start, self.data)
        solution = scip.createSol()
        for variable, number in zip(self.weights, start.tolist(), strict=True):
            scip.setSolVal(solution, variable, number)
        for units, pre in zip(self.units, trace.pre, strict=True):
            for unit in units:
                z = float(pre[unit.example, unit.neuron])
                scip.setSolVal(solution, unit.pre, z)
                if not network.is_linear:
                    scip.setSolVal(solution, unit.post, max(z, 0.0))
                    scip.setSolVal(solution, unit.on, float(z > 0.0))
        most = max(float(start[part] @ start[part]) for part in network.slices)
        scip.setSolVal(solution, self.value, 0.5 * network.depth * most * (1.0 + 1e-12))
        scip.addSol(solution)

    def theta(self, solution: Solution) -> Vector:
        """A solution's parameters in internal units (p)."""
        values = [self.scip.getSolVal(solution, variable) for variable in self.weights]
        return self.length * np.array(values)


def _combination(
    layer: Layer, neuron: int, weights: list[pyscipopt.Variable], inputs: list[Expression]
) -> pyscipopt.Expr:
    """Row ``neuron`` of W(u) a."""
    used, seen = layer.rows(neuron)
    terms = zip(used.tolist(), seen.tolist(), strict=True)
    total: pyscipopt.Expr = quicksum(weights[k] * inputs[i] for k, i in terms)
    return total
