"""Writes tables.json: random pairs of samples and what scipy and exact arithmetic
give for them.

    python make.py > tables.json        # scipy 1.17

Each sample is a list of whole numbers k, and stands for the accuracies k/n. On
whole numbers scipy compares without rounding. The permutation test and the
bootstrap's bias correction are counted exactly, over all arrangements.
"""

import json
import random
from fractions import Fraction
from math import comb, factorial

import numpy as np
from scipy import stats


def permutation(a, b):
    """Two-sided p of all assignments of signs, as a fraction."""
    d = [x - y for x, y in zip(a, b) if x != y]
    counts = {0: 1}
    for one in d:
        further = {}
        for total, count in counts.items():
            for signed in (total + one, total - one):
                further[signed] = further.get(signed, 0) + count
        counts = further
    reached = sum(count for total, count in counts.items() if total >= abs(sum(d)))
    return min(Fraction(2 * reached, 2 ** len(d)), 1)


def sums_of_resamples(values):
    """Number of resamples with each sum, from the multinomial distribution."""
    n = len(values)
    counts = {(0, 0): Fraction(1)}
    for value in sorted(set(values)):
        many = values.count(value)
        further = {}
        for (drawn, total), ways in counts.items():
            for k in range(n - drawn + 1):
                key = (drawn + k, total + k * value)
                further[key] = further.get(key, 0) + ways * many**k / factorial(k)
        counts = further
    return {total: ways * factorial(n) / n**n for (drawn, total), ways in counts.items() if drawn == n}


def bootstrap(values):
    """Ends of the exact BCa interval, as sums; None where drawing 99,999 resamples
    may give another sum."""
    n = len(values)
    shares = sums_of_resamples(values)
    observed = sum(values)
    below = sum(p for s, p in shares.items() if s < observed)
    bias = stats.norm.ppf(float(below + shares[observed] / 2))
    d = np.array(values) - observed / n
    acceleration = (d**3).sum() / (6 * (d**2).sum() ** 1.5)
    ends = []
    for z in stats.norm.ppf([0.025, 0.975]):
        share = stats.norm.cdf(bias + (bias + z) / (1 - acceleration * (bias + z)))
        total = 0
        for s in sorted(shares):
            before, total = float(total), total + shares[s]
            if float(total) >= share:
                break
        # Six standard errors, of the share and of the bias.
        margin = 6 * (max(share * (1 - share), 1e-4) ** 0.5 + 0.5 * stats.norm.pdf(z)) / 99_999**0.5
        if share - before < margin or float(total) - share < margin:
            return None
        ends.append(s)
    return ends


def finite(numbers):
    return [None if x is None or np.isnan(x) else float(x) for x in numbers]


def table(random):
    n = random.choice([7, 10, 16, 20, 50, 100, 128])
    runs = random.choice([4, 5, 6, 8, 10, 12, 13, 14, 16, 20, 25, 30])
    high = random.choice([3, n // 2, n])
    a = [random.randint(0, high) for _ in range(runs)]
    kind = random.randrange(4)
    if kind == 0:  # unrelated
        b = [random.randint(0, high) for _ in range(runs)]
    elif kind == 1:  # few differences, many zeros
        b = [x + random.choice([0, 0, 0, 1, -1]) for x in a]
    elif kind == 2:  # shifted
        b = [x + random.choice([0, 1, 1, 2, 3]) for x in a]
    else:  # distinct differences without zeros
        steps = random.sample(range(1, 4 * runs), runs)
        b = [x + random.choice([-1, 1]) * step for x, step in zip(a, steps)]
    low = min(0, *b)
    a, b = [x - low for x in a], [x - low for x in b]
    u = stats.mannwhitneyu(a, b)
    w = stats.wilcoxon(a, b) if a != b else None
    rho = stats.spearmanr(a, b) if len(set(a)) > 1 and len(set(b)) > 1 else (np.nan, np.nan)
    h = stats.kruskal(a, b) if len(set(a + b)) > 1 else (np.nan, np.nan)
    small = runs <= 12 and len(set(a)) > 1 and len(set(a)) <= 6
    return {
        "n": n,
        "a": a,
        "b": b,
        "mannwhitney": finite(u),
        "wilcoxon": finite(w if w else (0, 1)),
        "permutation": float(permutation(a, b)),
        "spearman": finite(rho),
        "kruskal": finite(h),
        "bootstrap": bootstrap(a) if small else None,
    }


if __name__ == "__main__":
    source = random.Random(20)
    print("[")
    print(",\n".join(json.dumps(table(source), separators=(",", ":")) for _ in range(240)))
    print("]")
