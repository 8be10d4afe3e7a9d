"""The commands on single matrices, fields and tables, as functions on arrays and data frames."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pallium import _program
from pallium._folder import _params
from pallium._program import PalliumError

if TYPE_CHECKING:
    import pandas as pd

Matrix = npt.NDArray[np.floating[Any]]
PathLike = str | os.PathLike[str]


class Penalty(NamedTuple):
    """A constraint's penalty at a matrix."""

    value: float
    gradient: npt.NDArray[np.float32]


def _saved(folder: str, name: str, matrix: npt.ArrayLike) -> Path:
    array = np.asarray(matrix)
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise ValueError(f"expected a square matrix, got an array of shape {array.shape}")
    file = Path(folder) / f"{name}.npy"
    np.save(file, array)
    return file


@contextmanager
def _named(files: Mapping[PathLike, str]) -> Iterator[None]:
    """Name arguments in errors, in place of temporary files and of options of the command."""
    try:
        yield
    except PalliumError as error:

        def plain(text: str) -> str:
            for file, name in files.items():
                text = text.replace(f"`{file}`", name).replace(str(file), name)
            return text

        def remedy(text: str) -> str:
            text = plain(text).replace("--param ", "").replace("--metric ", "the metric ")
            return re.sub(r"--(\w+)((?: [A-Z]+)?)", lambda m: f"{m[1]}={m[2].strip() or '…'}", text)

        raise PalliumError(
            plain(error.message),
            causes=map(plain, error.causes),
            help=remedy(error.help) if error.help else None,
            exit_code=error.exit_code,
        ) from None


def _profile(profile: str | None, switches: Mapping[str, str] | None) -> list[str]:
    words = ["--profile", profile] if profile else []
    return words + [
        word for name, value in (switches or {}).items() for word in ("--switch", f"{name}={value}")
    ]


def measure(
    matrix: npt.ArrayLike,
    *metrics: str,
    quantile: float | None = None,
    seed: int = 0,
    profile: str | None = None,
    switches: Mapping[str, str] | None = None,
    **parameters: Any,  # noqa: ANN401
) -> dict[str, Any]:
    """Measure a square matrix: `pallium measure`.

    Parameters
    ----------
    matrix
        N×N, row i to column j.
    metrics
        Ids of metrics, such as `connectivity.efficiency` or `connectivity.*`; by default the measures of
        organization.
    quantile
        The threshold of connections, a quantile of |w|.
    seed
        Seed of random graphs.
    profile, switches
        As in an experiment file.
    parameters
        Parameters of every chosen metric that has them.

    Returns
    -------
    dict
        The measures by name, and `neurons`.
    """
    words = [word for metric in metrics for word in ("--metric", metric)]
    words += ["--quantile", str(quantile)] if quantile is not None else []
    with tempfile.TemporaryDirectory() as folder:
        file = _saved(folder, "matrix", matrix)
        words += ["--seed", str(seed), *_profile(profile, switches), *_params(parameters)]
        with _named({file: "the matrix"}):
            found: dict[str, Any] = _program.call_json("measure", file, *words)
        return found


def penalty(
    constraint: str,
    matrix: npt.ArrayLike,
    *,
    field: PathLike | None = None,
    geometry: str | None = None,
    profile: str | None = None,
    switches: Mapping[str, str] | None = None,
    **parameters: Any,  # noqa: ANN401
) -> Penalty:
    """Compute a constraint's penalty at a matrix, and its gradient: `pallium penalty`.

    Parameters
    ----------
    constraint
        Id of the constraint.
    matrix
        N×N weights, row i to column j.
    field
        Folder of the field with these neurons.
    geometry
        `soma`, `grid`, `grid:AxBxC` or `none`; by default `soma` with a field.
    profile, switches
        As in an experiment file.
    parameters
        Parameters of the constraint.
    """
    words = ["--field", os.fspath(field)] if field is not None else []
    words += ["--geometry", geometry] if geometry else []
    with tempfile.TemporaryDirectory() as folder:
        file, gradient = _saved(folder, "matrix", matrix), Path(folder) / "gradient.npy"
        words += [*_profile(profile, switches), *_params(parameters)]
        with _named({file: "the matrix"}):
            found = _program.call_json(
                "penalty", constraint, "--weights", file, "--gradient", gradient, *words
            )
        value = found["value"]
        return Penalty(float("nan") if value is None else float(value), np.load(gradient))


def weights(
    source: str,
    *,
    seed: int,
    neurons: int | None = None,
    field: PathLike | None = None,
    run: int = 0,
    lognormal: npt.ArrayLike | None = None,
    null: str | Mapping[str, Any] | None = None,
    profile: str | None = None,
    switches: Mapping[str, str] | None = None,
    **parameters: Any,  # noqa: ANN401
) -> npt.NDArray[np.float32]:
    """Return the initial recurrent weights of a source, N×N: `pallium weights`.

    Parameters
    ----------
    source
        Id of the source, such as `microns.functional`.
    seed, run
        These are the initial weights of this run of an experiment with this seed.
    neurons
        Number of neurons, if the source needs no field.
    field
        Folder of the field.
    lognormal
        N×N random numbers to use instead of the source's own.
    null
        A null model of these weights: its id, such as `null.degrees`, or `pallium.use(id, …)` with
        parameters.
    profile, switches
        As in an experiment file.
    parameters
        Parameters of the source.
    """
    words = ["--field", os.fspath(field)] if field is not None else []
    words += ["--neurons", str(neurons)] if neurons is not None else []
    if null is not None:
        given = {"use": null} if isinstance(null, str) else dict(null)
        words += ["--null", str(given.pop("use")), *_program.settings("--null-param", given)]
    with tempfile.TemporaryDirectory() as folder:
        named: dict[PathLike, str] = {}
        if lognormal is not None:
            file = _saved(folder, "lognormal", lognormal)
            words, named = [*words, "--lognormal", str(file)], {file: "`lognormal`"}
        out = Path(folder) / "weights.npy"
        words += ["--seed", str(seed), "--run", str(run), *_profile(profile, switches), *_params(parameters)]
        with _named(named):
            _program.call("weights", source, "--out", out, *words)
        found: npt.NDArray[np.float32] = np.load(out)
        return found


class Field:
    """Commands on fields, as `pallium field` has them."""

    def info(self, folder: PathLike) -> dict[str, Any]:
        """Describe a field."""
        found: dict[str, Any] = _program.call_json("field", "info", folder)
        return found

    def synth(
        self, out: PathLike, *, neurons: int | None = None, like: PathLike | None = None, seed: int
    ) -> Path:
        """Make a synthetic field with `neurons` neurons, or with the statistics of the field `like`."""
        words = ["--neurons", str(neurons)] if neurons is not None else []
        words += ["--like", os.fspath(like)] if like is not None else []
        return self._made("synth", *words, "--seed", str(seed), out=out)

    def derive(self, folder: PathLike, out: PathLike, *options: str) -> Path:
        """Recompute the matrices of a field from its events."""
        return self._made("derive", os.fspath(folder), *options, out=out)

    def restore(self, folder: PathLike, out: PathLike) -> Path:
        """Put the connectome of a field into the order of its neurons."""
        return self._made("restore", os.fspath(folder), out=out)

    def join(self, *folders: PathLike, out: PathLike, options: Sequence[str] = ()) -> Path:
        """Join fields of one scan, with correlation and spike time tiling across them."""
        return self._made("join", *(os.fspath(folder) for folder in folders), *options, out=out)

    def fetch(self, *names: str, out: PathLike, options: Sequence[str] = ()) -> Path:
        """Download released fields."""
        return self._made("fetch", *names, *options, out=out)

    def convert(self, file: PathLike, out: PathLike, *options: str) -> Path:
        """Write an NWB file as a field: `pallium field import`."""
        return self._made("import", os.fspath(file), *options, out=out)

    def from_tables(self, *arguments: str, out: PathLike) -> Path:
        """Write fields from tables of the MICrONS volume."""
        return self._made("from-tables", *arguments, out=out)

    def new(self, folder: PathLike) -> Path:
        """Create a template for a field of your own."""
        _program.call("field", "new", folder)
        return Path(folder)

    def _made(self, *words: str, out: PathLike) -> Path:
        _program.call("field", *words, "--out", out)
        return Path(out)


#: `pallium field`.
field = Field()


def command(*words: str | PathLike) -> str:
    """Run any command of `pallium` and return what it prints.

    >>> pallium.command("likeness", "runs/quickstart", "--measure", "cka")  # doctest: +SKIP
    """
    return _program.call(*words)


def stats(
    table: pd.DataFrame | PathLike,
    *,
    family: Sequence[str] = (),
    factors: pd.DataFrame | PathLike | None = None,
    confidence: float = 0.95,
    resamples: int | None = None,
    seed: int = 0,
    equivalence: float | None = None,
    levels: Sequence[str] = (),
) -> dict[str, Any]:
    """Compute the statistics of a wide table: `pallium stats`.

    Parameters
    ----------
    table
        Columns are variants, rows are runs, missing values are missing runs; or a CSV file.
    family
        Pairs whose p-values are adjusted together, as `A vs B`; by default all pairs.
    factors
        The first column names variants, every other column is a factor.
    confidence
        Coverage of the intervals.
    resamples, seed
        Number and seed of the resamples of bootstrap intervals.
    equivalence
        Margin in the table's unit: also test whether paired runs differ by less than this; with
        `levels`, over the means of the outermost groups.
    levels
        Columns that name groups of runs, the outermost first, such as `["scan", "field"]`. With
        fewer than 10 outermost groups, use `["hierarchical"][pair]["t"]`: the bootstrap's interval
        is then too narrow and its p too small.
    """
    with tempfile.TemporaryDirectory() as folder:

        def file(name: str, given: pd.DataFrame | PathLike) -> PathLike:
            if isinstance(given, (str, os.PathLike)):
                return given
            path = Path(folder) / f"{name}.csv"
            given.to_csv(path, index=False)
            return path

        words: list[PathLike] = [word for pair in family for word in ("--family", pair)]
        words += ["--factors", file("factors", factors)] if factors is not None else []
        words += ["--resamples", str(resamples)] if resamples is not None else []
        words += ["--confidence", str(confidence), "--seed", str(seed)]
        words += ["--equivalence", str(equivalence)] if equivalence is not None else []
        words += ["--levels", ",".join(levels)] if levels else []
        names = ("table", "factors")
        with _named({Path(folder) / f"{name}.csv": f"`{name}`" for name in names}):
            found: dict[str, Any] = _program.call_json("stats", file("table", table), *words)
        return found


class Plugins:
    """The components that can be used, as `pallium plugins` lists them."""

    def __call__(self) -> pd.DataFrame:
        """Return all components: id, role, description, plugin, version and file."""
        import pandas as pd

        return pd.DataFrame(_program.call_json("plugins", "list"))

    def show(self, component: str) -> dict[str, Any]:
        """Document a component and its parameters."""
        found: dict[str, Any] = _program.call_json("plugins", "show", component)
        return found

    def check(self, file: PathLike) -> pd.DataFrame:
        """Run the conformance checks on a plugin file or a Python file: one row per check.

        Raises
        ------
        PalliumError
            If a check fails.
        """
        import pandas as pd

        done = _program.finished("plugins", "check", file, "--json")
        if not done.stdout.strip():
            raise _program.error_of(done.stderr, done.returncode)
        parts = json.loads(done.stdout)["parts"]
        rows = [{"component": part["id"], **check} for part in parts for check in part["checks"]]
        failed = [row for row in rows if row["verdict"] == "failed"]
        if failed:
            raise _program.PalliumError(
                f"{os.fspath(file)} fails {len(failed)} of {len(rows)} checks",
                causes=[f"{row['component']}: {row['check']}: {row['detail']}" for row in failed],
                help=next((row["help"] for row in failed if row["help"]), None),
                exit_code=done.returncode,
            )
        return pd.DataFrame(rows)

    def new(self, name: PathLike, role: str, *options: str) -> Path:
        """Create a plugin."""
        _program.call("plugins", "new", name, "--role", role, *options)
        return Path(name)


#: `pallium plugins`.
plugins = Plugins()
