"""Runs experiments by the executable, with a progress bar."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pallium import _program
from pallium._program import SOME_FAILED, PalliumError, error_of

if TYPE_CHECKING:
    import pandas as pd

    from pallium._experiment import Experiment
    from pallium._folder import Run

#: Exit code of a run in which trainings failed, and of an interrupted one.
_INTERRUPTED = 130


def run(
    experiment: str | os.PathLike[str] | Mapping[str, Any] | Experiment,
    out: str | os.PathLike[str] | None = None,
    *,
    set: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    only: str | Sequence[str] = (),
    progress: bool = True,
    check: bool = True,
    options: Sequence[str] = (),
) -> Run:
    """Run the trainings that the run folder does not contain yet, and open the folder.

    After an interruption, the same call continues the run.

    Parameters
    ----------
    experiment
        An experiment file, or its content as a dict or an `Experiment`. Relative paths in a dict are
        relative to the current folder.
    out
        The run folder; by default `runs/NAME`.
    set
        Keys to override: `{"training.epochs": 2, "substrate.path": "data/6_6_2"}`.
    jobs
        Number of trainings at a time; by default the cores divided by the threads of a training.
    only
        Train only what matches these patterns.
    progress
        Whether to show a progress bar.
    check
        Whether failed trainings raise an error. If not, `Run.failed` lists them.
    options
        Further options of `pallium run`, such as `["--tensorboard"]`.

    Returns
    -------
    Run
        The run folder.

    Raises
    ------
    PalliumError
        If the experiment is wrong, or a training failed.
    KeyboardInterrupt
        After an interrupt, once the executable has saved what is finished.
    """
    from pallium._folder import Run

    with experiment_file(experiment) as (file, explain):
        command = [str(_program.executable()), "run", str(file), "--json", *_program.settings("--set", set)]
        command += ["--out", os.fspath(out)] if out is not None else []
        command += ["--jobs", str(jobs)] if jobs is not None else []
        command += _only(only)
        code, stdout, stderr = _watched([*command, *options], progress)
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
        if code not in (0, SOME_FAILED):
            raise explain(error_of(stderr, code))
        summary = json.loads(stdout)
        found = Run(summary["folder"], summary)
        if code == SOME_FAILED and check:
            raise _failure(summary)
    return found


def plan(
    experiment: str | os.PathLike[str] | Mapping[str, Any] | Experiment,
    *,
    set: Mapping[str, Any] | None = None,
    only: str | Sequence[str] = (),
) -> pd.DataFrame:
    """Return the trainings of an experiment with their estimated time and memory; train nothing."""
    import pandas as pd

    words = [*_program.settings("--set", set), *_only(only)]
    with experiment_file(experiment) as (file, explain):
        try:
            return pd.DataFrame(_program.call_json("plan", file, *words))
        except PalliumError as error:
            raise explain(error) from None


def _only(patterns: str | Sequence[str]) -> list[str]:
    listed = [patterns] if isinstance(patterns, str) else patterns
    return [word for pattern in listed for word in ("--only", pattern)]


def _remedies(files: Iterable[str]) -> list[str]:
    """Return what the records of failed trainings advise, each advice once."""
    records = (json.loads(Path(file).read_text("utf-8")) for file in files if Path(file).is_file())
    helps = ((record.get("error") or {}).get("help") for record in records)
    return list(dict.fromkeys(text for text in helps if text))


def _failure(summary: Mapping[str, Any]) -> PalliumError:
    failed = summary["failed"]
    causes = [f"{one['variant']}/{one['task']}/{one['run']}: {one['reason']}" for one in failed]
    counts = summary["cells"]
    broken = int(counts["failed"])
    message = (
        f"{broken} of {counts['wanted']} trainings failed"
        if broken
        else "measures of finished trainings failed"
    )
    helps = _remedies(one["file"] for one in failed)[:5]
    if counts["wanted"] > broken:
        others = "the other trainings" if broken else "the trainings"
        helps.append(
            f"{others} are in {summary['folder']}; pallium.run(…, check=False) returns them without "
            "this error"
        )
    return PalliumError(
        message,
        causes=(causes or summary["measure_failures"])[:5],
        help="\n".join(helps) or None,
        exit_code=SOME_FAILED,
    )


class _Explain:
    """Replaces the name of a temporary experiment file in errors by the line that it stands for."""

    def __init__(self, file: Path | None = None, text: str = "") -> None:
        self.file, self.lines = file, text.splitlines()

    def __call__(self, error: PalliumError) -> PalliumError:
        if self.file is None:
            return error
        name = re.escape(str(self.file))

        def line(found: re.Match[str]) -> str:
            number = int(found[1])
            text = self.lines[number - 1].strip() if 0 < number <= len(self.lines) else ""
            return f"experiment, `{text}`"

        def plain(text: str) -> str:
            return re.sub(name, "experiment", re.sub(rf"{name}:(\d+)", line, text))

        return PalliumError(
            plain(error.message),
            causes=map(plain, error.causes),
            help=plain(error.help) if error.help else None,
            exit_code=error.exit_code,
        )


@contextmanager
def experiment_file(
    experiment: str | os.PathLike[str] | Mapping[str, Any] | Experiment,
) -> Iterator[tuple[Path, _Explain]]:
    """Yield the path of an experiment: the file itself, or a temporary one in the current folder."""
    if isinstance(experiment, (str, os.PathLike)):
        yield Path(experiment), _Explain()
        return
    import tomli_w

    content = _program.to_plain(experiment)
    if not isinstance(content, dict):
        raise TypeError(f"an experiment is a file, a dict or an Experiment, not {type(experiment).__name__}")
    content.setdefault("name", "experiment")
    text = tomli_w.dumps(content)
    # Paths in an experiment are relative to its file.
    with tempfile.NamedTemporaryFile("w", prefix=".pallium-", suffix=".toml", dir=".", encoding="utf-8") as f:
        f.write(text)
        f.flush()
        file = Path(f.name)
        yield file, _Explain(file, text)


def _watched(command: Sequence[str], progress: bool) -> tuple[int, str, str]:
    """Run a command and show its progress; return exit code, standard output and standard error."""
    from tqdm.auto import tqdm

    lines: list[str] = []
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as stdout,
        tqdm(total=None, unit="training", disable=not progress, leave=True) as bar,
    ):
        # A session of its own, so that an interrupt in a terminal reaches only this process, which
        # passes it on and waits.
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=_program.environment(),
            start_new_session=True,
        )
        assert child.stderr is not None
        try:
            for line in child.stderr:
                lines.append(line)
                _show(bar, line)
            child.wait()
        except BaseException:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(timeout=30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            raise
        finally:
            child.stderr.close()
        stdout.seek(0)
        return child.returncode, stdout.read(), "".join(lines)


def _show(bar: Any, line: str) -> None:  # noqa: ANN401
    found = re.match(r"\[(\d+)/(\d+)\] (.*)", line)
    if not found:
        return
    bar.total = int(found[2])
    bar.update(int(found[1]) - bar.n)
    what = found[3].split("; ")[0].rstrip()
    if ": failed" in what:
        bar.write(what)
    else:
        bar.set_postfix_str(what, refresh=False)
