"""What the plots of the examples share: no window, one size, files beside the working directory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

mpl.use("Agg")


def panels(count: int) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels side by side."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, count, figsize=(5.2 * count, 3.8), squeeze=False)
    return figure, list(axes[0])


def save(figure: Figure, name: str) -> Path:
    """Write the figure as PNG into the directory named by the first argument (default: here)."""
    import matplotlib.pyplot as plt

    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.png"
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path
