"""The inputs of the peers that train along connections, from the folder that
Pallium wrote. Its first loss is compared with Pallium's."""

import os
from pathlib import Path

import numpy as np


def keep_to_cores(threads):
    """Before a library starts its threads."""
    cores = sorted(os.sched_getaffinity(0))[-threads:]
    os.sched_setaffinity(0, cores)
    os.environ["OMP_NUM_THREADS"] = str(threads)


class Network:
    def __init__(self, folder, steps):
        def load(name):
            return np.load(Path(folder) / f"{name}.npy")

        # Sorted by the receiving unit.
        self.to, self.source, self.values = load("to"), load("from"), load("values")
        # Steps x channels x trials, and units in rows: the fastest layout of all products.
        self.inputs = np.ascontiguousarray(load("inputs")[:, :steps].transpose(1, 2, 0))
        self.labels = load("labels")
        self.input, self.bias = load("input"), load("bias")
        self.readout, self.readout_bias = load("readout"), load("readout_bias")
        self.units, self.trials = self.bias.shape[0], self.labels.shape[0]
