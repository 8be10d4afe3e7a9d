"""Experiments as Python objects: the keys of an experiment file, with completion."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

Component = str | Mapping[str, Any]


def use(component: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a component with parameters: `use("spatial.distance", strength=0.3)`."""
    return {"use": component, **parameters}


def sweep(*values: Any, labels: Sequence[str] | None = None, name: str | None = None) -> dict[str, Any]:  # noqa: ANN401
    """Return a sweep over values, to stand in place of one: `sweep(0.1, 0.3, 1.0)`.

    Parameters
    ----------
    values
        The values; or one `Range`.
    labels
        What the values are called in tables.
    name
        Name of the axis; sweeps with the same name vary together.
    """
    swept: Any = list(values)
    if len(values) == 1 and isinstance(values[0], Range):
        swept = values[0]
    return {
        "sweep": swept,
        **({"labels": list(labels)} if labels else {}),
        **({"name": name} if name else {}),
    }


@dataclass
class Range:
    """Evenly spaced values for a `sweep`."""

    start: float
    to: float
    steps: int
    #: "linear": equal differences; "log": equal ratios.
    scale: str = "linear"
    #: Round to whole numbers.
    whole: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the keys of the experiment file."""
        return {
            "from": self.start,
            "to": self.to,
            "steps": self.steps,
            "scale": self.scale,
            "whole": self.whole,
        }


@dataclass
class Variant:
    """A variant: what the trainings of one row of a table share."""

    name: str
    #: Source of the initial recurrent weights.
    weights: Component | None = None
    #: Whether the network has connections alone, or the source that says which.
    connections: bool | Component | None = None
    #: Null model that changes the weights.
    null: Component | None = None
    #: Where distances come from: "none", "soma", "grid" or "grid:AxBxC", or a table.
    geometry: str | Mapping[str, Any] | None = None
    constraints: Sequence[Component] | Mapping[str, Any] = ()
    model: Component | None = None
    optimizer: Component | None = None
    training: Mapping[str, Any] | None = None
    #: Further keys.
    others: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the keys of the experiment file."""
        keys = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "others"}
        found = {name: value for name, value in keys.items() if value is not None and value != ()}
        return found | dict(self.others)


@dataclass
class Experiment:
    """An experiment; every field is a key of the experiment file, `variants` its `[[variant]]`.

    A list of `metrics` stands for the key `use` of `[metrics]`.

    >>> Experiment(tasks=["cognition.go-no-go"], variants=[Variant("W")], runs=2).to_dict()["runs"]
    2
    """

    tasks: Sequence[Component] = ()
    variants: Sequence[Variant | Mapping[str, Any]] = ()
    name: str | None = None
    about: str | None = None
    seed: int | Mapping[str, Any] | None = None
    runs: int | None = None
    profile: str | Mapping[str, Any] | None = None
    substrate: Component | None = None
    model: Component | None = None
    optimizer: Component | None = None
    training: Mapping[str, Any] | None = None
    constraints: Sequence[Component] | Mapping[str, Any] | None = None
    metrics: Sequence[Component] | Mapping[str, Any] | None = None
    nulls: Mapping[str, Any] | None = None
    defaults: Mapping[str, Mapping[str, Any]] | None = None
    switches: Mapping[str, Any] | None = None
    limits: Mapping[str, Any] | None = None
    analysis: Mapping[str, Any] | None = None
    plugin_path: Sequence[str | os.PathLike[str]] | None = None
    #: Another experiment file whose keys this one replaces one by one.
    base: str | os.PathLike[str] | None = None
    #: Further keys.
    others: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the keys of the experiment file."""
        keys = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("variants", "others")}
        found = {name: value for name, value in keys.items() if value is not None and value != ()}
        metrics = self.metrics
        if metrics is not None and not isinstance(metrics, Mapping):
            found["metrics"] = {"use": [metrics] if isinstance(metrics, str) else list(metrics)}
        if self.variants or self.base is None:
            found["variant"] = list(self.variants)
        return found | dict(self.others)
