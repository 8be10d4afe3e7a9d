"""What a constraint in Python costs, at the size of a recorded field.

    python benches/python_constraint.py FIELD [--turns 5] [--overhead | --training]

FIELD is a field folder such as `data/6_6_2` (312 neurons). Needs the package `pallium`
(`pip install ./python`, or `PYTHONPATH=python/src` after `cargo build --release`) with the
executable to measure.

1. Overhead: the time that an update takes longer with a constraint in Python that does
   nothing than with none. Batches are small, since the exchange depends on the matrix alone and
   would be lost in the noise of large steps.
2. W*D with the distance penalty: complete trainings with `spatial.distance` and with the same
   penalty written in numpy.

The sides take turns, so that drifts of the machine affect them alike. Printed are medians over
the turns, with ranges.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import pallium

LAB = '''
import numpy as np


class Nothing:
    """A penalty of 0."""

    def setup(self, setting):
        self.gradient = np.zeros(setting.shape, np.float32)

    def penalty(self, weights):
        return 0.0, self.gradient


class Distance:
    """The penalty of `spatial.distance`: strength * sum(|W| * D)."""

    strength: float = 0.3
    "Factor in front of the penalty (dimensionless)."

    def setup(self, setting):
        self.distance = setting.need("distance")

    def penalty(self, weights):
        value = self.strength * np.sum(np.abs(weights) * self.distance)
        return value, self.strength * np.sign(weights) * self.distance
'''


def train(field, lab, constraints, training):
    """Trains W*D with constraints; returns its training and its seconds, in total and in training."""
    for constraint in constraints:
        if constraint["use"].startswith("python."):
            constraint["path"] = str(lab)
    experiment = {
        "tasks": ["cognition.one-choice"],
        "runs": 1,
        "substrate": {"path": str(Path(field).resolve())},
        "training": training,
        "metrics": {"use": []},
        "variant": [
            {"name": "W*D", "weights": "microns.functional", "geometry": "soma", "constraints": constraints}
        ],
    }
    with tempfile.TemporaryDirectory() as folder:
        run = pallium.run(experiment, Path(folder) / "out", progress=False)
        cell, times = run.cell("W*D"), run.times.iloc[0]
        return cell.weights, float(times["seconds_total"]), float(times["seconds_training"])


def described(values, unit):
    """The median of values and their range."""
    return f"{statistics.median(values):.3g} {unit} ({min(values):.3g} to {max(values):.3g})"


def overhead(field, lab, turns):
    """Milliseconds that an update takes longer with a constraint in Python."""
    training = {"epochs": 1, "trials": 3200, "batch": 4, "validation": 8, "test": 8}
    updates = training["epochs"] * training["trials"] // training["batch"]
    extra, step = [], []
    # Short turns, and more of them: a machine that is not idle drifts within seconds.
    for _ in range(4 * turns):
        bare = train(field, lab, [], training)[2]
        nothing = train(field, lab, [pallium.use("python.constraint", name="Nothing")], training)[2]
        step.append(1e3 * bare / updates)
        extra.append(1e3 * (nothing - bare) / updates)
    print(f"an update without constraints, batch of {training['batch']}: {described(step, 'ms')}")
    print(f"a constraint in Python that does nothing: {described(extra, 'ms')} more")


def distance_penalty(field, lab, turns):
    """Seconds of complete trainings with the penalty in Rust and in numpy."""
    native, own = [], []
    for _ in range(turns):
        weights, seconds, _ = train(field, lab, [pallium.use("spatial.distance", strength=0.3)], {})
        native.append(seconds)
        others, seconds, _ = train(
            field, lab, [pallium.use("python.constraint", name="Distance", strength=0.3)], {}
        )
        own.append(seconds)
        # The same computation: rounding alone differs.
        assert abs(weights - others).max() < 1e-2, "the penalties differ"
    print(f"W*D with spatial.distance: {described(native, 's')}")
    print(f"W*D with the penalty in numpy: {described(own, 's')}")
    print(f"ratio: {described([b / a for a, b in zip(native, own, strict=True)], '')}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("field", help="a field folder, such as data/6_6_2")
    parser.add_argument("--turns", type=int, default=5)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--overhead", action="store_true", help="measure the overhead alone")
    only.add_argument("--training", action="store_true", help="measure complete trainings alone")
    arguments = parser.parse_args()
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"{time.strftime('%F %T')}; {os.cpu_count()} cores, load {load}")
    with tempfile.TemporaryDirectory() as folder:
        lab = Path(folder) / "lab.py"
        lab.write_text(LAB)
        if not arguments.training:
            overhead(arguments.field, lab, arguments.turns)
        if not arguments.overhead:
            distance_penalty(arguments.field, lab, arguments.turns)
    print(f"load at the end {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
