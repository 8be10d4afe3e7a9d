"""Shared by the peers: their inputs, and the protocol for taking turns.

A peer sets itself up, does its work once to warm up, and writes a line `ready`
with a JSON object. Then, for each line on standard input, it does its work once
and writes a JSON object with the seconds it took. It ends when its input closes.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np


class Inputs:
    """The inputs of a training, from the folder that Pallium wrote."""

    def __init__(self, folder):
        folder = Path(folder)
        about = json.loads((folder / "about.json").read_text())
        self.recurrent = np.load(folder / "recurrent.npy")  # N x N, from i to j
        self.neurons = self.recurrent.shape[0]
        self.classes = about["classes"]
        self.batch = about["batch"]
        self.noise = about["noise"]
        self.train = np.load(folder / "train_inputs.npy")  # trials x steps x channels
        self.train_labels = np.load(folder / "train_labels.npy").astype(np.int64)
        self.validation = np.load(folder / "validation_inputs.npy")
        self.validation_labels = np.load(folder / "validation_labels.npy").astype(np.int64)
        self.constraint = about["constraint"]  # none, l1, distance, ...
        self.strength = about["strength"]
        self.emd_strength = about["emd_strength"]
        distance = folder / "distance.npy"
        self.distance = np.load(distance) if distance.exists() else None
        connectome = folder / "connectome.npy"
        self.connectome = np.load(connectome) if connectome.exists() else None

    def empirical(self):
        """Sorted communicability of the connectome, as published: rows without
        synapses have the strength 1e-10."""
        from scipy.linalg import expm

        counts = np.abs(self.connectome.astype(np.float64))
        strength = counts.sum(axis=1)
        strength[strength == 0] = 1e-10
        root = 1 / np.sqrt(strength)
        c = expm(root[:, None] * counts * root[None, :])
        np.fill_diagonal(c, 0)
        return np.sort(c.ravel()).astype(np.float32)


def take_turns(work, about=None):
    """Warms up and takes turns. `work` may return a dict for the report."""
    began = time.perf_counter()
    first = work() or {}
    first["seconds"] = time.perf_counter() - began
    print("ready " + json.dumps({**(about or {}), **first}), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        found = work() or {}
        found["seconds"] = time.perf_counter() - began
        print(json.dumps(found), flush=True)
