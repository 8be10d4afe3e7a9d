"""Writes units.json: what is right for the paired samples of tables.json, and for nested
differences, whatever their unit is.

    python units.py > units.json        # statsmodels 0.15, scipy 1.17

The samples are whole numbers, so all differences are exact. A mean of 0 and a constant
difference are found in fractions, and the nested bootstrap is counted over all resamples.
"""

import json
import math
import random
from fractions import Fraction

import numpy as np
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired


def paired(a, b, margin):
    d = [x - y for x, y in zip(a, b)]
    moved = [x for x in d if x]
    ranks = stats.rankdata(np.abs(moved)) if moved else []
    signed = sum(rank * np.sign(x) for rank, x in zip(ranks, moved))
    found = {"margin": margin, "rank_biserial": float(signed / sum(ranks)) if moved else None}
    if len(set(d)) == 1:
        return found | {"constant": d[0]}
    p, (lower, _, _), (upper, _, _) = ttost_paired(np.array(a), np.array(b), -margin, margin)
    d_z = float(stats.ttest_rel(a, b).statistic) / math.sqrt(len(d)) if sum(d) else 0.0
    return found | {"d_z": d_z, "tost": [float(lower), float(upper), float(p)]}


def convolved(one, other):
    found = {}
    for x, p in one.items():
        for y, q in other.items():
            found[x + y] = found.get(x + y, 0) + p * q
    return found


def drawn(shares, times):
    """The distribution of a mean of `times` draws."""
    found = {Fraction(0): Fraction(1)}
    for _ in range(times):
        found = convolved(found, shares)
    return {x / times: p for x, p in found.items()}


def mixed(all):
    found = {}
    for shares in all:
        for x, p in shares.items():
            found[x] = found.get(x, 0) + p / len(all)
    return found


def nested(source):
    sizes = source.choice([[5] * 4, [5] * 4, [3, 3, 3], [2, 3, 4], [6, 3, 2]])
    rows = [
        (group, source.randint(5, 8), source.randint(5, 8)) for group, size in enumerate(sizes) for _ in range(size)
    ]
    groups = [[Fraction(a - b) for group, a, b in rows if group == g] for g in range(len(sizes))]
    each = [drawn(mixed([{d: Fraction(1)} for d in group]), len(group)) for group in groups]
    means = drawn(mixed(each), len(groups))
    sides = [sum(p for m, p in means.items() if m * sign >= 0) for sign in (1, -1)]
    mean = sum(sum(group) / len(group) for group in groups) / len(groups)
    return {"rows": rows, "mean": float(mean), "p": min(1.0, float(2 * min(sides)))}


if __name__ == "__main__":
    source = random.Random(3)
    tables = json.load(open("tables.json"))
    pairs = [paired(t["a"], t["b"], source.choice([1, 2, 5])) for t in tables]
    groups = []
    # Half of them without a difference.
    while len(groups) < 24:
        case = nested(source)
        if (case["mean"] == 0) == (len(groups) % 2 == 0):
            groups.append(case)
    print(json.dumps({"paired": pairs, "nested": groups}, separators=(",", ":")))
