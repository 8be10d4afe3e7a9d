"""A finished training: its parameters, and what it does on trials."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pallium import _program
from pallium._program import PalliumError

if TYPE_CHECKING:
    import torch
    import xarray
    from scipy.sparse import csr_array

Array = npt.NDArray[Any]

#: Names of the axes of parameters, by the beginning of their names.
_AXES = {
    "recurrent": ("from", "to"),
    "initial": ("from", "to"),
    "input": ("channel", "to"),
    "readout": ("from", "output"),
    "readout_bias": ("output",),
    "bias": ("to",),
    "recurrent_bias": ("to",),
    "log_time_constant": ("to",),
}


#: The axis of recurrent weights on connections, and the prefix of these connections' names.
_PAIRS = {"initial": ("initial_connection", "initial"), "recurrent": ("connection", "connections")}


class Training:
    """A finished training of a run folder.

    Attributes
    ----------
    folder
        Its folder.
    variant, task, run
        What was trained.
    """

    def __init__(self, folder: Path, variant: str, task: str, run: int) -> None:
        self.folder, self.variant, self.task, self.run = folder, variant, task, run
        if not (folder / "cell.json").is_file():
            raise PalliumError(
                f"{folder} is not the folder of a finished training",
                help="name a folder in cells/ of a run folder, or use `pallium.open(RUN).cell(…)`",
            )

    def __repr__(self) -> str:
        return f"<Training {self.variant}/{self.task}/{self.run}>"

    @cached_property
    def about(self) -> dict[str, Any]:
        """What was trained and how it ended: `cell.json`."""
        found: dict[str, Any] = json.loads((self.folder / "cell.json").read_text("utf-8"))
        return found

    @cached_property
    def arrays(self) -> dict[str, Array]:
        """All arrays of `weights.safetensors`: `initial`, the trained parameters, ids of the neurons."""
        from safetensors.numpy import load_file

        if self.about.get("restored"):
            raise PalliumError(
                f"{self!r} has no weights: it was restored from a compact file",
                help="remove its folder in cells/ and run the experiment without --finished",
            )
        return dict(load_file(self.folder / "weights.safetensors"))

    @property
    def parameters(self) -> dict[str, Array]:
        """The trained parameters by name; rows are where connections come from."""
        return {
            name: array
            for name, array in self.arrays.items()
            if name.split(".")[0] not in ("initial", "ids", "connections")
        }

    @property
    def connections(self) -> Array | None:
        """The units that the connections lead from and to, 2 × C; `None` for a matrix of all pairs."""
        return self._pairs("connections")

    def _pairs(self, prefix: str) -> Array | None:
        if f"{prefix}.indptr" not in self.arrays:
            # The first connections are stored only if they are others.
            return None if prefix == "connections" else self.connections
        counts = np.diff(self.arrays[f"{prefix}.indptr"]).astype(np.int64)
        sources = np.repeat(np.arange(len(counts)), counts)
        return np.stack([sources, self.arrays[f"{prefix}.indices"].astype(np.int64)])

    def _matrix(self, values: Array, prefix: str) -> Array | csr_array:
        pairs = self._pairs(prefix)
        if pairs is None:
            return values
        sparse = _program.optional("scipy.sparse")
        neurons = len(self.arrays["connections.indptr"]) - 1
        found: csr_array = sparse.csr_array((values.ravel(), tuple(pairs)), shape=(neurons, neurons))
        return found

    @property
    def weights(self) -> Array | csr_array:
        """The trained recurrent matrix, N×N: row i, column j leads from neuron i to neuron j.

        In a network on connections, a sparse matrix of scipy.
        """
        name = next(iter(self.about["model_info"]["block_tensors"] or ["recurrent"]))
        if name not in self.arrays:
            raise PalliumError(
                f"{self!r} has no trained weights: its status is {self.about['status']}",
                help="use a training that did not diverge; `initial` holds the weights before training",
            )
        return self._matrix(self.arrays[name], "connections")

    @property
    def initial(self) -> Array | csr_array:
        """The recurrent matrix before training, N×N; sparse as `weights`."""
        return self._matrix(self.arrays["initial"], "initial")

    @property
    def ids(self) -> dict[str, npt.NDArray[np.int64]]:
        """Identifiers of the neurons by name, in the order of rows and columns."""
        return {
            name.removeprefix("ids."): array for name, array in self.arrays.items() if name.startswith("ids.")
        }

    @cached_property
    def results(self) -> pd.DataFrame:
        """Its values: `split, measure, value`, those of metrics among them."""
        files = [self.folder / "results.csv", *sorted((self.folder / "measures").glob("*.csv"))]
        (header, *rows), *others = (file.read_text("utf-8").splitlines() for file in files)
        return pd.read_csv(
            StringIO("\n".join([header, *rows, *(row for _, *more in others for row in more)]))
        )

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Its learning curve: one row per epoch."""
        return pd.read_csv(self.folder / "curves.csv")

    def value(self, measure: str, split: str = "test") -> float:
        """Return one value of `results`: `value("accuracy")`."""
        rows = self.results[self.results["measure"] == measure]
        if rows.empty:
            raise KeyError(f"{self!r} has no measure `{measure}`; its `results` list all")
        if (splits := rows["split"].dropna().unique()).size:
            rows = rows[rows["split"] == split]
            if rows.empty:
                raise KeyError(f"`{measure}` of {self!r} has no split `{split}`; it has: {', '.join(splits)}")
        return float(rows["value"].iloc[0])

    @cached_property
    def measured_arrays(self) -> dict[str, dict[str, Array]]:
        """Arrays that metrics returned, by metric and name."""
        from safetensors.numpy import load_file

        found = {}
        for file in sorted((self.folder / "measures").glob("*.safetensors")):
            found[file.name.rsplit(".", 2)[0]] = dict(load_file(file))
        return found

    def record(self, *what: str, set: Mapping[str, Any] | None = None) -> dict[str, Array]:
        """Run the trained network on its test trials, without noise: `pallium export --what`.

        Parameters
        ----------
        what
            `trials`, `logits`, `activity`, `states`; by default the first three.
        set
            Keys to override, such as `{"task.delay": 20}`.
        """
        names = what or ("trials", "logits", "activity")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "recorded.npz"
            label = f"{self.variant}/{self.task}/{self.run}"
            words = [
                str(self.folder.parent.parent),
                "--what",
                ",".join(names),
                "--only",
                label,
                "--out",
                str(file),
            ]
            _program.call("export", *words, *_program.settings("--set", set))
            with np.load(file) as arrays:
                return {name: arrays[name] for name in arrays.files}

    @cached_property
    def _recorded(self) -> dict[str, Array]:
        return self.record()

    @property
    def trials(self) -> Trials:
        """The test trials."""
        found = self._recorded
        return Trials(
            inputs=found["inputs"],
            targets=found["target"],
            mask=found["accuracy_weight"],
            lengths=found["length"],
            conditions=found["condition"],
        )

    @property
    def activity(self) -> Array:
        """Activity on the test trials without noise, trials × steps × units."""
        return self._recorded["activity"]

    @property
    def logits(self) -> Array:
        """Outputs on the test trials at every step, trials × steps × outputs."""
        return self._recorded["logits"]

    def to_xarray(self, activity: bool = False) -> xarray.Dataset:
        """Return the parameters as a dataset with named axes: `from`, `to`, `channel`, `output`.

        In a network on connections, `recurrent` has the axis `connection`, and `initial` the axis
        `initial_connection`; their coordinates `connection_from`, … are the units' numbers.

        Parameters
        ----------
        activity
            Whether `inputs`, `logits` and `activity` on the test trials are added, with the axes `trial`,
            `step`, `channel`, `output` and `unit`.
        """
        xarray_module = _program.optional("xarray")
        variables: dict[str, tuple[tuple[str, ...], Array]] = {}
        coordinates: dict[str, tuple[str, Array]] = {
            f"{name}_{axis}": (axis, ids) for name, ids in self.ids.items() for axis in ("from", "to")
        }
        for name, array in {"initial": self.arrays["initial"], **self.parameters}.items():
            stem = name if name in _AXES else name.split("_")[0]
            axis, prefix = _PAIRS.get(name, ("", ""))
            if axis and (pairs := self._pairs(prefix)) is not None:
                coordinates |= {f"{axis}_from": (axis, pairs[0]), f"{axis}_to": (axis, pairs[1])}
                variables[name] = ((axis,), array.ravel())
                continue
            axes = _AXES.get(stem, ())
            if len(axes) != array.ndim or self.about["spec"]["model"].get("use") == "rnn.populations":
                # Blocks of populations have lengths of their own.
                axes = tuple(f"{name}_{axis}" for axis in range(array.ndim))
            variables[name] = (axes, array)
        if activity:
            for name, last in (("inputs", "channel"), ("logits", "output"), ("activity", "unit")):
                variables[name] = (("trial", "step", last), self._recorded[name])
        attributes = {"variant": self.variant, "task": self.task, "run": self.run}
        found: xarray.Dataset = xarray_module.Dataset(variables, coordinates, attributes)
        return found

    def to_torch(self) -> torch.nn.Module:
        """Return the network as a PyTorch module.

        `module(inputs)` takes trials × steps × channels and returns the outputs at every step, trials ×
        steps × outputs, and the activity, trials × steps × units; both without noise. Its answers equal
        Pallium's to single precision.
        """
        _program.optional("torch")
        from pallium._torch import network

        return network(self)


@dataclass(frozen=True)
class Trials:
    """Trials and what a network did on them."""

    #: Stimuli, trials × steps × channels.
    inputs: Array
    #: Correct classes, trials × steps; or values, trials × steps × outputs.
    targets: Array
    #: Weight of each step in the accuracy, trials × steps.
    mask: Array
    #: Number of steps of each trial.
    lengths: Array
    #: Condition of each trial.
    conditions: Array
