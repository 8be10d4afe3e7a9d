"""Prints percentile intervals of the example in hierarchical.rs, resampled by numpy.

    python hierarchical.py                # numpy 2.4
"""

import numpy as np

ROWS = [
    ("a", "1", 0.10), ("a", "1", 0.14), ("a", "1", 0.06), ("a", "2", 0.02), ("a", "2", 0.05),
    ("b", "3", 0.08), ("b", "3", 0.01), ("b", "3", 0.03), ("b", "3", -0.02), ("c", "4", 0.12),
]


def draw(rows, levels, at, rng, size):
    """Means of `size` resamples of rows that share their labels before level `at`."""
    if at == levels:
        values = np.array([row[2] for row in rows])
        return values[rng.integers(len(values), size=(size, len(values)))].mean(1)
    groups = [[row for row in rows if row[at] == label] for label in sorted({row[at] for row in rows})]
    chosen = rng.integers(len(groups), size=(size, len(groups)))
    total = np.zeros(size)
    for place in range(len(groups)):
        for group, members in enumerate(groups):
            where = chosen[:, place] == group
            total[where] += draw(members, levels, at + 1, rng, int(where.sum()))
    return total / len(groups)


rng = np.random.default_rng(1)
for levels in (0, 1, 2):
    means = draw(ROWS, levels, 0, rng, 2_000_000)
    print(levels, *np.quantile(means, [0.025, 0.975]))
