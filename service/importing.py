"""Models from files, on this machine: their KKT answers, requests ready to send, tables."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from solvers import kkt
from solvers.dataset import parse_dataset
from solvers.interop import ImportedNetwork, from_file, read_npz
from solvers.network import Network
from solvers.stationarity import DELTAS

Json = dict[str, Any]

COLUMNS = (
    "name",
    "feasible",
    "answer",
    "relative_residual",
    "residual",
    "complementarity",
    "direction_cosine",
    "normalized_margin",
    "support",
    "effective_support",
    *(f"eps_at_{delta:g}" for delta in DELTAS),
    "seconds",
)
"""Of the table of several models; ``eps_at_delta`` are the pairs of the trade-off."""


@dataclass(frozen=True)
class Imported:
    """A model and the data that it is to be judged on, both read and checked."""

    name: str
    model: ImportedNetwork
    dataset: Mapping[str, Any]

    @classmethod
    def read(cls, model: Path, data: Path, activation: Literal["relu", "linear"]) -> Imported:
        """Both files; raises :class:`~solvers.errors.InputError` naming what is wrong."""
        dataset, shape = read_npz(data)
        found = from_file(model, input_shape=shape, activation=activation)
        parse_dataset(Network.from_dict(found.network), dataset)
        return cls(model.name, found, dataset)

    def request(self) -> Json:
        """The request as JSON, its arrays as ``.npy`` texts."""
        return {
            "name": self.name[:200],
            "network": self.model.network,
            "dataset": {key: _npy(value) for key, value in self.dataset.items()},
            "parameters": [_npy(layer) for layer in self.model.parameters],
        }

    def kkt(self, time_limit: float) -> Json:
        """The answer to the KKT question, without vectors of more than 10,000 numbers."""
        answer = kkt(
            self.model.network,
            self.dataset,
            self.model.parameters,
            name=self.name,
            time_limit=time_limit,
            vectors="none",
        )
        return answer.to_dict()


def residual_table(bodies: Iterable[Json]) -> str:
    """One line of CSV for each KKT answer, in the order given."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_row(body) for body in bodies)
    return text.getvalue()


def _row(body: Json) -> Json:
    found = body.get("kkt") or {}
    told = {**found, **(found.get("report") or {})}
    row = {key: told.get(key) for key in COLUMNS}
    pairs = told.get("trade_off") or ()
    row |= {f"eps_at_{p['complementarity']:g}": p["relative_residual"] for p in pairs}
    seconds = sum(body["timings"].values())
    return {
        **row,
        "name": body["name"],
        "feasible": body["feasibility"]["feasible"],
        "seconds": round(seconds, 3),
    }


def _npy(values: Any) -> Json:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(values), allow_pickle=False)
    return {"npy": base64.b64encode(buffer.getvalue()).decode()}
