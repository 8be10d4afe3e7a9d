"""Writes dsa.json: activity of small systems, and how alike their flows are by dsa-metric.

    python dsa.py > dsa.json        # dsa-metric 2.0.2, torch 2, numpy 2

Each system is a noisy rotation or a tanh network that begins at random states. Flows:
DSA's DMD. Angles: its SimilarityTransformDist, whose gradient descent is begun from several
seeds; the smallest angle counts.
"""

import json

import numpy as np
import torch
from DSA.dmd import DMD
from DSA.simdist import SimilarityTransformDist

rng = np.random.default_rng(20261129)
trials, steps, delays, rank = 6, 14, 3, 4


def system(kind):
    n = 3
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    w = {0: 0.9 * q, 1: 1.3 * rng.normal(size=(n, n)) / np.sqrt(n)}[kind]
    x = rng.normal(size=(trials, n))
    out = []
    for _ in range(steps):
        x = x @ w + 0.05 * rng.normal(size=x.shape) if kind == 0 else np.tanh(x @ w + 0.2)
        out.append(x)
    return np.round(np.stack(out, 1), 4)


def flow(x):
    dmd = DMD(x, n_delays=delays, rank=rank, lamb=1e-8)
    dmd.fit()
    return dmd.A_v.numpy().astype(float)


cases = []
for case in range(6):
    x, y = system(case % 2), system(case // 2 % 2)
    a, b = flow(x), flow(y)
    angles = []
    for seed in range(4):
        torch.manual_seed(seed)
        compare = SimilarityTransformDist(iters=3000, score_method="angular", lr=5e-3)
        angles.append(float(compare.fit_score(torch.tensor(a).float(), torch.tensor(b).float())))
    found = {"x": x.tolist(), "y": y.tolist(), "angle": min(angles)}
    for name, matrix in (("x_eigenvalues", a), ("y_eigenvalues", b)):
        values = np.linalg.eigvals(matrix)
        order = np.lexsort((values.imag, -np.abs(values).round(4)))
        found[name] = [[float(v.real), float(v.imag)] for v in values[order]]
    cases.append(found)
print(json.dumps({"delays": delays, "rank": rank, "cases": cases}, separators=(",", ":")))
