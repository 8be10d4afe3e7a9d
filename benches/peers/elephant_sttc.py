"""Spike time tiling coefficients with Elephant, pair by pair.

    python elephant_sttc.py FOLDER PAIRS

A turn computes PAIRS pairs, chosen evenly; "whole" is the time extrapolated to all
pairs. Elephant tests with numpy.isclose whether two events coincide, which adds a
relative tolerance of 1e-5 times the event's time to the window. Its values without
that tolerance are reported as well, but not timed.
"""

import json
import sys
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import neo
import numpy as np
import quantities as pq
from elephant.spike_train_correlation import spike_time_tiling_coefficient

from turns import take_turns


def main():
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    about = json.loads((folder / "about.json").read_text())
    times, offsets = np.load(folder / "event_times.npy"), np.load(folder / "event_offsets.npy")
    trains = [
        neo.SpikeTrain(times[a:b], units="s", t_stop=about["end"])
        for a, b in zip(offsets[:-1], offsets[1:])
    ]
    pairs = [(i, j) for j in range(len(trains)) for i in range(j)]
    chosen = [pairs[at * len(pairs) // count] for at in range(count)]
    window = about["window"] * pq.s

    def values():
        return [float(spike_time_tiling_coefficient(trains[i], trains[j], dt=window)) for i, j in chosen]

    def work():
        began = time.perf_counter()
        values()
        return {"whole": (time.perf_counter() - began) * len(pairs) / count}

    found = values()
    with mock.patch.object(np, "isclose", partial(np.isclose, rtol=0)):
        exact = values()
    take_turns(
        work,
        {
            "peer": f"Elephant {version('elephant')}",
            "pairs": chosen,
            "values": found,
            "without_tolerance": exact,
        },
    )


main()
