"""Matplotlib's backend in the jail: `plt.show()` writes every open figure to the working folder and closes it.

A figure that the code saved itself is not written twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import WeakSet

from matplotlib._pylab_helpers import Gcf
from matplotlib.backends.backend_agg import FigureCanvasAgg

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
MOST = 8
_saved: WeakSet[Any] = WeakSet()


class FigureCanvas(FigureCanvasAgg):
    def print_figure(self, filename: Any, *args: Any, **kwargs: Any) -> Any:
        done = super().print_figure(filename, *args, **kwargs)
        if str(filename).lower().endswith(_PICTURES):
            _saved.add(self.figure)
        return done


def show(*args: Any, **kwargs: Any) -> None:
    names = (name for number in range(1, 10_000) if not (name := Path(f"figure-{number}.png")).exists())
    for manager in Gcf.get_all_fig_managers()[:MOST]:
        if manager.canvas.figure not in _saved:
            manager.canvas.figure.savefig(next(names))
    Gcf.destroy_all()
