"""Reads run folders."""

from __future__ import annotations

import builtins
import json
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from pallium import _program
from pallium._program import SOME_FAILED, PalliumError
from pallium._training import Training

if TYPE_CHECKING:
    import polars

_KEYS = ["variant", "task", "run"]


def open(folder: str | os.PathLike[str]) -> Run:
    """Open a run folder.

    Raises
    ------
    PalliumError
        If it is not a run folder.
    """
    return Run(folder)


class Run:
    """A run folder: results, curves and times of its trainings, and the trainings themselves.

    Parameters
    ----------
    folder
        The folder that `pallium run` wrote.
    """

    def __init__(self, folder: str | os.PathLike[str], summary: Mapping[str, Any] | None = None) -> None:
        self.folder = Path(folder)
        #: What `pallium run --json` printed, if this process ran it.
        self.summary = dict(summary or {})
        if not (self.folder / "manifest.json").is_file():
            what = (
                "is not a run folder: it has no manifest.json" if self.folder.is_dir() else "does not exist"
            )
            raise PalliumError(
                f"{self.folder} {what}", help="name the folder that `pallium run … --out FOLDER` wrote"
            )

    def __repr__(self) -> str:
        trained = self.results.drop_duplicates(_KEYS)
        return f"<Run {str(self.folder)!r}: {len(trained)} trainings>"

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Versions, plugins, data, profile and machine of the run."""
        found: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text("utf-8"))
        return found

    @property
    def variants(self) -> list[str]:
        """Names of the variants, in the order of the experiment."""
        return list(self.manifest["variants"])

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks, in the order of the experiment."""
        return list(self.manifest["tasks"])

    @cached_property
    def results(self) -> pd.DataFrame:
        """All values: `variant, task, run, split, measure, value, status, folder`, one value a row."""
        return self._table("results.csv")

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Learning curves: one row per epoch of a training."""
        return self._table("curves.csv")

    @cached_property
    def axes(self) -> pd.DataFrame | None:
        """In a sweep, the place of each variant and task on the axes; otherwise `None`."""
        return self._table("axes.csv") if (self.folder / "axes.csv").is_file() else None

    @cached_property
    def times(self) -> pd.DataFrame:
        """Times of the trainings in seconds: one row per training, one column per part."""
        rows = []
        for training in self:
            times = pd.read_csv(training.folder / "times.csv")
            row = dict(zip(times["measure"], times["value"], strict=True))
            rows.append({"variant": training.variant, "task": training.task, "run": training.run, **row})
        return pd.DataFrame(rows)

    @property
    def failed(self) -> pd.DataFrame:
        """Failed trainings and their reasons."""
        rows = self.results[self.results["status"].str.startswith("failed")]
        return pd.DataFrame(
            {
                "training": [f"{r.variant}/{r.task}/{r.run}" for r in rows.itertuples()],
                "reason": [str(r.status).removeprefix("failed: ") for r in rows.itertuples()],
            }
        )

    def polars(self, table: str = "results") -> polars.DataFrame:
        """Return a table (`results`, `curves` or `axes`) for polars."""
        module = _program.optional("polars")
        found: polars.DataFrame = module.read_csv(self.folder / f"{table}.csv", infer_schema_length=None)
        return found

    def accuracy(self, split: str = "test", measure: str = "accuracy", how: str = "mean") -> pd.DataFrame:
        """Return a table of variants by tasks.

        Parameters
        ----------
        split
            `train`, `validation` or `test`.
        measure
            Any measure of `results`.
        how
            How runs are combined: `mean`, `std`, `count`, or any other that pandas knows.
        """
        rows = self.results[self.results["measure"] == measure]
        if rows.empty:
            known = ", ".join(sorted(builtins.set(self.results["measure"].dropna())))
            raise KeyError(f"no measure `{measure}`; there are: {known}")
        if (splits := rows["split"].dropna().unique()).size:
            rows = rows[rows["split"] == split]
            if rows.empty:
                raise KeyError(f"`{measure}` has no split `{split}`; it has: {', '.join(splits)}")
        table = rows.pivot_table(
            index="variant", columns="task", values="value", aggfunc=cast(Any, how), sort=False, observed=True
        )
        table = table.reindex(index=[v for v in self.variants if v in table.index] or None)
        return table.reindex(columns=[t for t in self.tasks if t in table.columns] or None)

    def __iter__(self) -> Iterator[Training]:
        """Iterate over the finished trainings."""
        done = self.results[~self.results["status"].str.startswith("failed")]
        for row in done.drop_duplicates(_KEYS).itertuples():
            place = self.folder / "cells" / str(row.folder)
            yield Training(place, str(row.variant), str(row.task), int(str(row.run)))

    def cell(self, variant: str, task: str | None = None, run: int = 0) -> Training:
        """Return a finished training.

        Parameters
        ----------
        variant
            Name of the variant.
        task
            Name of the task, or its last part: `go-no-go` for `cognition.go-no-go`. May be left out if
            there is one task.
        run
            Number of the run, from 0.
        """
        rows = self.results.drop_duplicates(_KEYS)
        _known("variant", variant, rows["variant"])
        tasks = list(dict.fromkeys(rows["task"]))
        if task is None:
            if len(tasks) > 1:
                raise KeyError(f"name a task; there are: {', '.join(tasks)}")
            task = tasks[0]
        alike = [name for name in tasks if name == task or name.rsplit(".", 1)[-1] == task]
        task = alike[0] if len(alike) == 1 else task
        _known("task", task, rows["task"])
        rows = rows[(rows["variant"] == variant) & (rows["task"] == task) & (rows["run"] == run)]
        if rows.empty:
            raise KeyError(f"{self.folder} has no training {variant}/{task}/{run}; its `results` list all")
        row = next(rows.itertuples())
        if str(row.status).startswith("failed"):
            raise PalliumError(f"the training {variant}/{task}/{run} {row.status}")
        return Training(self.folder / "cells" / str(row.folder), variant, task, run)

    def measure(self, *metrics: str, **parameters: Any) -> Run:  # noqa: ANN401
        """Compute further metrics of the finished trainings, without training; return the folder with them.

        The values are added to the run folder's tables and its report.
        """
        names = ["--metric", ",".join(metrics)] if metrics else []
        done = _program.finished("measure", self.folder, *names, *_params(parameters))
        if done.returncode == SOME_FAILED:
            failed = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
            raise PalliumError(
                "metrics of some trainings failed",
                causes=[line.removeprefix("failed: ") for line in failed],
                help="the other values are stored: pallium.open(…) reads them",
                exit_code=SOME_FAILED,
            )
        if done.returncode != 0:
            raise _program.error_of(done.stderr, done.returncode)
        return Run(self.folder)

    def report(self) -> Report:
        """Make the report: tables, tests and figures on one page, shown in a notebook."""
        _program.call("report", self.folder)
        return Report(self.folder / "report.html")

    def figures(self, folder: str | os.PathLike[str] | None = None) -> dict[str, Path]:
        """Write the report's figures as SVG and PDF; return their files by name.

        Parameters
        ----------
        folder
            Where to write them; by default `figures` in the run folder. Existing files are replaced.
        """
        place = Path(folder) if folder is not None else self.folder / "figures"
        _program.call("report", self.folder, "--figures", place, "--force")
        return {file.name: file for file in sorted(place.iterdir()) if file.suffix in (".svg", ".pdf")}

    def statistics(self) -> dict[str, Any]:
        """Return the report as data: tables, tests, effects."""
        found: dict[str, Any] = _program.call_json("report", self.folder)
        return found

    def _table(self, name: str) -> pd.DataFrame:
        file = self.folder / name
        if not file.is_file():
            raise PalliumError(
                f"{self.folder} has no {name} yet", help="run the experiment to its end, or run it again"
            )
        table = pd.read_csv(file)
        for column in ("variant", "task"):
            if column in table:
                # Names such as `1` or `None` are text.
                table[column] = pd.read_csv(file, usecols=[column], dtype=str, keep_default_na=False)[column]
        return table

    def _repr_html_(self) -> str:
        html: str = self.accuracy().to_html(float_format=lambda value: f"{value:.3f}")
        return f"<p>{self!s}".replace("<Run", "Run").replace(">", "", 1) + f"</p>{html}"


class Report:
    """The page that `pallium report` made."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __repr__(self) -> str:
        return f"<Report {str(self.file)!r}>"

    def _repr_html_(self) -> str:
        """Show the page in a frame, since its styles are its own."""
        from html import escape

        page = escape(self.file.read_text("utf-8"), quote=True)
        return f'<iframe srcdoc="{page}" width="100%" height="800" style="border: 0"></iframe>'

    def show(self) -> None:
        """Open the page in a browser."""
        import webbrowser

        webbrowser.open(self.file.resolve().as_uri())


def _params(parameters: Mapping[str, Any]) -> list[str]:
    return [
        word
        for name, value in parameters.items()
        for word in (
            "--param",
            f"{name}={json.dumps(None if value is None else _program.to_plain(value))}",
        )
    ]


def _known(what: str, name: str, names: pd.Series[Any]) -> None:
    if name not in builtins.set(names):
        raise KeyError(f"no {what} `{name}`; there are: {', '.join(map(str, dict.fromkeys(names)))}")
