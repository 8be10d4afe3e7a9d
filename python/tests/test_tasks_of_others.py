"""Tasks of other packages, by `python.task`: each test runs where its package is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pallium

EXAMPLES = Path(__file__).parents[1] / "examples"


def python_with(module: str) -> str:
    """A Python that has a module: this one, or the one in $PALLIUM_NEUROGYM.

    NeuroGym fixes versions of numpy and matplotlib, so it is often in an environment of its own.
    """
    for python in (sys.executable, os.environ.get("PALLIUM_NEUROGYM")):
        if python and subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode == 0:
            return python
    pytest.skip(f"neither this Python nor $PALLIUM_NEUROGYM has {module}")


def trained(small, folder, **task):
    """The training of a small network on a task."""
    small["tasks"] = [{"use": "python.task", **task}]
    small["training"] = {**small["training"], "epochs": 1}
    (cell,) = pallium.run(small, folder / "out", progress=False)
    return cell


def test_neurogym_registers_its_tasks(small, tmp_path):
    python = python_with("neurogym")
    cell = trained(small, tmp_path, environment="PerceptualDecisionMaking-v0", python=python, dim_ring=4)
    # Fixation and four directions.
    assert cell.trials.inputs.shape[2] == cell.logits.shape[2] == 5
    assert set(cell.trials.conditions) == {1, 2, 3, 4}
    info = cell.about["task_info"]
    assert (info["step_ms"], info["levels"]["chance"]) == (100.0, 0.25)


GYMNASIUM = '''
import gymnasium
import numpy as np


class Cue(gymnasium.Env):
    """Report the cue after a pause."""

    observation_space = gymnasium.spaces.Box(0, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, pause=3):
        self.pause = pause

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.cue, self.left = int(self.np_random.integers(2)), self.pause
        return np.array([self.cue, 0], "float32"), {}

    def step(self, action):
        self.left -= 1
        asked = self.left == 0
        info = {"gt": self.cue} if asked else {}
        return np.array([0, asked], "float32"), float(action == self.cue), self.left < 0, False, info


gymnasium.register("lab/Cue-v0", Cue)
'''


def test_environments_of_gymnasium_are_tasks(small, tmp_path):
    python = python_with("gymnasium")
    (tmp_path / "cue.py").write_text(GYMNASIUM)
    where = {"path": str(tmp_path / "cue.py"), "python": python}
    cell = trained(small, tmp_path, environment="Cue", arguments={"pause": 5}, **where)
    assert cell.trials.inputs.shape[1:] == (6, 2)
    # The cue of the first step is the answer to the last.
    assert (cell.trials.inputs[:, 0, 0] == cell.trials.conditions).all()
    assert (cell.trials.mask == [0, 0, 0, 0, 0, 1]).all()


@pytest.mark.parametrize(
    "task", ["perceptual_discrimination:PerceptualDiscrimination", "delayed_discrim:DelayedDiscrimination"]
)
def test_psychrnn_tasks_are_tasks(task, small, tmp_path):
    python = python_with("psychrnn.tasks")
    cell = trained(
        small,
        tmp_path,
        environment=f"psychrnn.tasks.{task}",
        arguments={"dt": 50, "tau": 100, "T": 2000, "N_batch": 8},
        python=python,
    )
    assert cell.about["task_info"]["step_ms"] == 50.0
    assert cell.trials.inputs.shape[1] == 40
    assert set(cell.trials.conditions) == {0, 1}
    assert 0 < cell.trials.mask.mean() < 1


@pytest.mark.parametrize(
    ("task", "decision"), [("go", 5), ("dlygointr", 5), ("ctxdlydm1seql", 10), ("dmcintl", 9)]
)
def test_mod_cog_tasks_are_tasks(task, decision, small, tmp_path):
    tasks = Path(os.environ.get("PALLIUM_MOD_COG", "")) / "mod_cog_tasks.py"
    if not tasks.is_file():
        pytest.skip("$PALLIUM_MOD_COG is not a checkout of github.com/mikailkhona/Mod_Cog")
    python = python_with("neurogym")
    for file in (tasks, EXAMPLES / "mod_cog.py"):
        shutil.copy2(file, tmp_path / file.name)
    cell = trained(small, tmp_path, environment=task, path=str(tmp_path / "mod_cog.py"), python=python)
    assert cell.logits.shape[2] == 17
    assert cell.about["task_info"]["step_ms"] == 100.0
    # The steps of the decision alone count.
    assert (cell.trials.mask.sum(axis=1) == decision).all()
