"""Margins of many parameter vectors at once, and Jacobians, from a net's index maps (floats)."""

from __future__ import annotations

import numpy as np

from tests.acceptance.oracle import Net

NUMBERS = 4_000_000
"""Largest temporary, in doubles."""


class Batched:
    """q_i = y_i Phi(theta; x_i) for rows theta."""

    def __init__(self, net: Net, x: np.ndarray, y: np.ndarray) -> None:
        self.net, self.y = net, np.asarray(y, dtype=float)
        self.x = net.inputs(np.asarray(x, dtype=float))
        self.places = [np.flatnonzero(g) for g in net.maps]
        self.owners = [g.ravel()[place] - 1 for g, place in zip(net.maps, self.places, strict=True)]
        widest = max(g.shape[0] * (g.shape[1] + len(self.x)) for g in net.maps)
        self.chunk = max(1, NUMBERS // widest)

    def weights(self, thetas: np.ndarray) -> list[np.ndarray]:
        """One stack of matrices (rows x k x d) a layer."""
        found = []
        for g, part in zip(self.net.maps, self.net.slices, strict=True):
            padded = np.concatenate([np.zeros((len(thetas), 1)), thetas[:, part]], axis=1)
            found.append(padded[:, g])
        return found

    def margins(self, thetas: np.ndarray) -> np.ndarray:
        """(rows x n)."""
        pieces = [
            self._margins(thetas[k : k + self.chunk]) for k in range(0, len(thetas), self.chunk)
        ]
        return np.concatenate(pieces) if pieces else np.empty((0, len(self.y)))

    def _margins(self, thetas: np.ndarray) -> np.ndarray:
        a = self.x[None]
        *hidden, last = self.weights(thetas)
        for w in hidden:
            a = a @ w.transpose(0, 2, 1)
            if self.net.relu:
                a = np.maximum(a, 0.0)
        return np.asarray((a @ last.transpose(0, 2, 1))[..., 0] * self.y)

    def pre_activations(self, theta: np.ndarray) -> list[np.ndarray]:
        """Hidden pre-activations (n x k) of one point."""
        found, a = [], self.x
        for w in self.weights(theta[None])[:-1]:
            found.append(a @ w[0].T)
            a = np.maximum(found[-1], 0.0) if self.net.relu else found[-1]
        return found

    def frozen(
        self, theta: np.ndarray, slopes: list[np.ndarray]
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Hidden pre-activations and margins of one point where activations are these slopes."""
        found, a = [], self.x
        *hidden, last = (w[0] for w in self.weights(theta[None]))
        for w, s in zip(hidden, slopes, strict=True):
            found.append(a @ w.T)
            a = s * found[-1]
        return found, np.asarray((a @ last.T)[:, 0] * self.y)

    def jacobian(self, theta: np.ndarray, slopes: list[np.ndarray] | None = None) -> np.ndarray:
        """(n x p), with the given slopes (n x k a hidden layer) or those of z > 0."""
        weights, post, used = [w[0] for w in self.weights(theta[None])], [self.x], []
        for index, w in enumerate(weights[:-1]):
            z = post[-1] @ w.T
            if slopes is not None:
                used.append(slopes[index])
            else:
                used.append((z > 0.0).astype(float) if self.net.relu else np.ones(z.shape))
            post.append(used[-1] * z)
        back = self.y[:, None]
        pieces: list[np.ndarray] = []
        for index in reversed(range(len(weights))):
            outer = (back[:, :, None] * post[index][:, None, :]).reshape(len(self.y), -1)
            part = self.net.slices[index]
            piece = np.zeros((part.stop - part.start, len(self.y)))
            np.add.at(piece, self.owners[index], outer[:, self.places[index]].T)
            pieces.append(piece.T)
            if index:
                back = (back @ weights[index]) * used[index - 1]
        return np.concatenate(pieces[::-1], axis=1)
