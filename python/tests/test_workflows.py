"""The examples for Hydra and Snakemake, and jobs for HyperQueue, on the real programs."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import pallium
from pallium import _program

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def example(request, tmp_path):
    """A copy of the folder of an example."""
    folder = EXAMPLES / request.param
    if not folder.is_dir():
        pytest.skip("the tests are not in a checkout")
    return Path(shutil.copytree(folder, tmp_path / request.param))


def called(command, folder, **variables):
    """Run a command in a folder, with `pallium` on the PATH; return what it printed."""
    path = os.pathsep.join(
        [str(Path(sys.executable).parent), str(_program.executable().parent), os.environ["PATH"]]
    )
    env = {**_program.environment(), "PATH": path, "HYDRA_FULL_ERROR": "1", **variables}
    done = subprocess.run(list(map(str, command)), cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("example", ["hydra"], indirect=True)
def test_hydra_sweeps(example):
    pytest.importorskip("hydra")
    printed = called(
        [sys.executable, "train.py", "--multirun", "strength=0.01,1.0", "hydra.sweep.dir=swept"], example
    )
    for job, strength in enumerate([0.01, 1.0]):
        assert f"strength {strength}: accuracy" in printed
        run = pallium.open(example / "swept" / str(job) / "run")
        assert f'"strength":{strength}' in str(run.cell("bound").about["spec"]).replace("'", '"').replace(
            " ", ""
        )


@pytest.mark.parametrize("example", ["snakemake"], indirect=True)
def test_snakemake_runs_and_continues(example):
    if importlib.util.find_spec("snakemake") is None:
        pytest.skip("snakemake is not installed")
    snakemake = [sys.executable, "-m", "snakemake", "--cores", "2", "--quiet", "all"]
    # What an interrupted run has finished is kept.
    first = pallium.run(
        example / "experiment.toml",
        example / "runs" / "seed-1",
        set={"seed": 1},
        only="run=0",
        progress=False,
    )
    (before,) = (cell.folder.stat().st_mtime_ns for cell in first)
    (example / "runs" / "seed-1" / "results.csv").unlink()
    called(snakemake, example)
    table = pd.read_csv(example / "accuracy.csv")
    assert list(table["seed"]) == [1, 1, 2, 2]
    run = pallium.open(example / "runs" / "seed-1")
    assert run.cell("bound", run=0).folder.stat().st_mtime_ns == before
    assert table["value"][0] == run.cell("bound", run=0).value("accuracy")


#: Stands in for `hq`, which PyPI's package lacks: submits a script to the server in `$HQ_SERVER_DIR` as
#: `hq submit --directives=always` does.
HQ = """
import argparse, json, os, re, sys

from hyperqueue import Job
from hyperqueue.client import Client
from hyperqueue.ffi.protocol import ResourceRequest

parser = argparse.ArgumentParser()
for name in ("name", "array", "cpus", "resource", "time-request", "time-limit", "cwd", "stdout", "stderr", "crash-limit"):
    parser.add_argument("--" + name)
assert sys.argv[1:4] == ["--output-mode=json", "submit", "--directives=always"], sys.argv
script = sys.argv[-1]
words = [word for line in open(script) if line.startswith("#HQ ") for word in line[4:].split()]
given = parser.parse_args(words)
first, last = map(int, given.array.split("-"))
job = Job(name=given.name, default_workdir=given.cwd, max_fails=None)
for number in range(first, last + 1):
    task = job.program(
        [script], stdout=given.stdout, stderr=given.stderr, crash_limit=int(given.crash_limit),
        resources=ResourceRequest(cpus=int(given.cpus)),
    )
    # Tasks of an array are numbered from its first; HyperQueue tells each its number.
    task.task_id = number
print(json.dumps({"id": Client(os.environ["HQ_SERVER_DIR"]).submit(job).id}))
"""


def test_hyperqueue_runs_what_is_submitted(small, tmp_path):
    hyperqueue = pytest.importorskip("hyperqueue")
    from hyperqueue.cluster import LocalCluster, WorkerConfig

    small["runs"] = 3
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "hq").write_text(f"#!{sys.executable}{HQ}")
    (programs / "hq").chmod(0o755)
    import tomli_w

    (tmp_path / "small.toml").write_text(tomli_w.dumps(small))
    submit = ["submit", "small.toml", "--engine", "hyperqueue", "--array-size", "3", "--out", "out"]
    with LocalCluster(str(tmp_path / "server"), WorkerConfig(cores=2)) as cluster:
        variables = {
            "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
            "HQ_SERVER_DIR": str(cluster.cluster.server_dir),
        }
        env = {**_program.environment(), **variables}
        command = [str(_program.executable()), *submit]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "submitted as job 1: 3 of 3 trainings as 3 tasks" in done.stdout
        job = hyperqueue.job.SubmittedJob(job=None, id=1)
        assert cluster.client().wait_for_jobs([job], raise_on_error=False), list(
            (tmp_path / "out").rglob("*.log")
        )
    run = pallium.open(tmp_path / "out")
    assert [cell.run for cell in run] == [0, 1, 2]
    # Each task trained its part, and wrote its own log.
    logs = sorted((tmp_path / "out" / "submissions" / "1").glob("task-*.err.log"))
    assert len(logs) == 3
    assert all("[1/1]" in log.read_text() for log in logs)
