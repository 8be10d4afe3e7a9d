"""Pallium: recurrent neural networks built from recordings of cortex.

>>> import pallium
>>> run = pallium.run("experiments/quickstart.toml", out="runs/quickstart")  # doctest: +SKIP
>>> run.accuracy()  # doctest: +SKIP

Everything is computed by the executable that comes with the package; this module starts it and reads
what it writes. See the book's page on Python.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pallium._experiment import Experiment, Range, Variant, sweep, use
    from pallium._folder import Run, open
    from pallium._program import PalliumError
    from pallium._run import plan, run
    from pallium._tools import command, field, measure, penalty, plugins, stats, weights
    from pallium._training import Training, Trials

#: Where each name is. They are imported when they are used, so that the command `pallium` starts
#: without pandas.
_HOME = {
    "Experiment": "_experiment",
    "PalliumError": "_program",
    "Range": "_experiment",
    "Run": "_folder",
    "Training": "_training",
    "Trials": "_training",
    "Variant": "_experiment",
    "command": "_tools",
    "field": "_tools",
    "measure": "_tools",
    "open": "_folder",
    "penalty": "_tools",
    "plan": "_run",
    "plugins": "_tools",
    "run": "_run",
    "stats": "_tools",
    "sweep": "_experiment",
    "use": "_experiment",
    "weights": "_tools",
}

__all__ = [  # noqa: RUF022 - in the order of the documentation
    "run",
    "plan",
    "open",
    "Run",
    "Training",
    "Trials",
    "Experiment",
    "Variant",
    "use",
    "sweep",
    "Range",
    "measure",
    "penalty",
    "weights",
    "field",
    "stats",
    "plugins",
    "command",
    "PalliumError",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("pallium")
    if name in _HOME:
        return getattr(import_module(f"pallium.{_HOME[name]}"), name)
    raise AttributeError(f"module 'pallium' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
