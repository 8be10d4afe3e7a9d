"""Mod_Cog's tasks (Khona, Chandra et al. 2022) with NeuroGym 2, which moved names that they use.

Save this beside `mod_cog_tasks.py` of github.com/mikailkhona/Mod_Cog:

    tasks = [{ use = "python.task", environment = "dlygointr", path = "mod_cog.py" }]
"""

import sys

import gymnasium
import neurogym
import neurogym.core

sys.modules.setdefault("gym", gymnasium)
neurogym.TrialEnv = neurogym.core.TrialEnv

import mod_cog_tasks  # noqa: E402
from mod_cog_tasks import *  # noqa: E402, F403


def _five(step):
    """Return what Gymnasium expects of a step: `terminated` and `truncated` in place of `done`."""

    def stepped(self, action):
        ob, reward, done, info = step(self, action)
        return ob, reward, done, False, info

    return stepped


for _made in vars(mod_cog_tasks).values():
    if isinstance(_made, type) and issubclass(_made, neurogym.TrialEnv) and "_step" in vars(_made):
        _made._step = _five(_made._step)
