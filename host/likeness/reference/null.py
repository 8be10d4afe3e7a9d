"""Writes null.json: weights, others in their place, and what numpy, scipy and networkx say of both.

    python null.py > null.json            # numpy 2.4, scipy 1.17, networkx 3.6
"""

import json

import networkx as nx
import numpy as np
from scipy import stats
from scipy.optimize import linear_sum_assignment


def weights(rng, n, share):
    """Two groups, the even and the odd units, with most weights within them."""
    same = np.add.outer(np.arange(n), np.arange(n)) % 2 == 0
    there = rng.random((n, n)) < np.where(same, share, share / 8)
    return np.where(there, rng.lognormal(0, 0.5, (n, n)) * rng.choice([-1, 1], (n, n), p=[0.2, 0.8]), 0).round(3)


def sizes(matrix):
    size = np.abs(matrix) + np.abs(matrix.T)
    np.fill_diagonal(size, 0)
    return nx.from_numpy_array(size)


def modularity_difference(a, b):
    """That of the best of 200 divisions of the original."""
    quality = lambda graph, groups: nx.community.modularity(graph, groups, weight="weight")
    original = sizes(a)
    divisions = [nx.community.louvain_communities(original, seed=seed) for seed in range(200)]
    best = max(divisions, key=lambda groups: quality(original, groups))
    return quality(sizes(b), best) - quality(original, best)


def departure(matrix):
    return np.sqrt((matrix**2).sum() - (np.abs(np.linalg.eigvals(matrix)) ** 2).sum())


def likeness(a, b, points):
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    off = ~np.eye(len(a), dtype=bool)
    sums = [(a.sum(axis), b.sum(axis)) for axis in (0, 1)]
    eigenvalues = [np.linalg.eigvals(m) for m in (a, b)]
    cost = np.abs(np.subtract.outer(*eigenvalues))
    return {
        "null_degree_difference": max(np.abs((a != 0).sum(axis) - (b != 0).sum(axis)).max() for axis in (0, 1)),
        "null_strength_correlation": min(stats.pearsonr(*pair).statistic for pair in sums),
        "null_strength_error": max(np.sqrt(np.mean((x - y) ** 2)) / x.std() for x, y in sums),
        "null_weight_distance": stats.ks_2samp(a[a != 0], b[b != 0]).statistic,
        "null_length_distance": stats.ks_2samp(apart[off & (a != 0)], apart[off & (b != 0)]).statistic,
        "null_diagonal_difference": np.abs(np.diag(a) - np.diag(b)).max(),
        "null_modularity_difference": modularity_difference(a, b),
        "null_eigenvalue_distance": cost[linear_sum_assignment(cost)].mean() / np.abs(eigenvalues[0]).max(),
        "null_nonnormality_difference": abs(departure(b) - departure(a)) / np.linalg.norm(a),
        "null_pair_correlation": stats.pearsonr(a[off], b[off]).statistic,
    }


cases = []
rng = np.random.default_rng(1)
for n, share in ((12, 0.8), (20, 0.5), (30, 0.6), (17, 1.0)):
    a, b = weights(rng, n, share), weights(rng, n, 0.9 * share)
    points = rng.uniform(0, 300, (n, 3)).round(1)
    kept = {name: float(value) for name, value in likeness(a, b, points).items()}
    cases.append({"original": a.tolist(), "null": b.tolist(), "points": points.tolist(), "kept": kept})
print(json.dumps(cases, separators=(",", ":")))
