"""Writes likeness.json: random activity and weights of two networks, and how alike others
say they are.

    python make.py > likeness.json        # numpy 2.4, scipy 1.17, rsatoolbox 0.3

CKA: from centred Gram matrices, its definition (Kornblith et al. 2019, equation 3).
Procrustes: scipy.linalg.orthogonal_procrustes. RSA: rsatoolbox. Matching:
scipy.optimize.linear_sum_assignment.
"""

import json

import numpy as np
import rsatoolbox
from scipy.linalg import orthogonal_procrustes
from scipy.optimize import linear_sum_assignment

rng = np.random.default_rng(20261016)


def cka(x, y):
    n = len(x)
    h = np.eye(n) - 1 / n
    k, l = h @ x @ x.T @ h, h @ y @ y.T @ h
    return np.sum(k * l) / np.sqrt(np.sum(k * k) * np.sum(l * l))


def rsa(x, y):
    rdms = [rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(v), method="euclidean") for v in (x, y)]
    return rsatoolbox.rdm.compare_spearman(*rdms).item()


cases = []
for case in range(40):
    points = int(rng.integers(6, 14))
    p = int(rng.integers(2, 7))
    q = p if case % 4 else p + 2
    shared = rng.normal(size=(points, 2))
    x = np.round(shared @ rng.normal(size=(2, p)) + rng.normal(size=(points, p)), 4)
    y = np.round(shared @ rng.normal(size=(2, q)) + rng.normal(size=(points, q)), 4)
    xc, yc = x - x.mean(0), y - y.mean(0)
    _, scale = orthogonal_procrustes(
        np.pad(xc, ((0, 0), (0, max(0, q - p)))), np.pad(yc, ((0, 0), (0, max(0, p - q))))
    )
    found = {
        "x": x.tolist(),
        "y": y.tolist(),
        "cka": float(cka(x, y)),
        "procrustes": float(scale / (np.linalg.norm(xc) * np.linalg.norm(yc))),
        "rsa": float(rsa(x, y)),
        "matching": None,
    }
    if p == q:
        c = np.corrcoef(x.T, y.T)[:p, p:]
        order = linear_sum_assignment(-c)[1]
        v, w = (np.round(rng.normal(size=(p, p)), 3).astype(np.float32) for _ in range(2))
        off = ~np.eye(p, dtype=bool)
        with np.errstate(invalid="ignore"):
            plain = np.corrcoef(v.astype(float)[off], w.astype(float)[off])[0, 1]
            matched = np.corrcoef(v.astype(float)[off], w.astype(float)[np.ix_(order, order)][off])[0, 1]
        found |= {
            "matching": order.tolist(),
            "v": v.astype(float).tolist(),
            "w": w.astype(float).tolist(),
            "weights": float(plain),
            "matched": float(matched),
        }
    cases.append(found)
print(json.dumps(cases, separators=(",", ":")))
