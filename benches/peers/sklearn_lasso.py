"""Precision of event counts with scikit-learn's GraphicalLassoCV.

    python sklearn_lasso.py FOLDER

A turn chooses the penalty by cross-validation and computes the estimate from the
counts; counting is not timed. One BLAS thread is the fastest setting at this size. Writes FOLDER/precision_peer.npy.
"""

import json
import os
import sys

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.covariance import GraphicalLassoCV

from turns import take_turns


def main():
    warnings.simplefilter("ignore")  # estimates that are stopped early
    folder = Path(sys.argv[1])
    about = json.loads((folder / "about.json").read_text())
    times, offsets = np.load(folder / "event_times.npy"), np.load(folder / "event_offsets.npy")
    bins = int(about["end"] / about["bin"])
    edges = np.arange(bins + 1) * about["bin"]
    counts = np.stack(
        [np.histogram(times[a:b], edges)[0] for a, b in zip(offsets[:-1], offsets[1:])], axis=1
    ).astype(float)

    def work():
        model = GraphicalLassoCV().fit(counts)
        np.save(folder / "precision_peer.npy", model.precision_)
        return {"alpha": float(model.alpha_)}

    take_turns(work, {"peer": f"scikit-learn {version('scikit-learn')}"})


main()
