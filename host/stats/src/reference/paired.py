"""Writes paired.json: random paired samples, half of them with ties, and their equivalence
tests and effect sizes by statsmodels, scipy and pingouin.

    python paired.py > paired.json        # statsmodels 0.14, scipy 1.17, pingouin 0.5
"""

import json
import math
import warnings

import numpy as np
import pingouin
from scipy import optimize, stats
from statsmodels.stats.weightstats import ttost_paired

warnings.filterwarnings("ignore")


def interval(d_z, n):
    """Noncentralities at which t has the probabilities 0.975 and 0.025."""
    t = d_z * math.sqrt(n)

    def end(p):
        off = lambda delta: stats.nct.cdf(t, n - 1, delta) - p
        width = 1.0
        while off(t - width) < 0 or off(t + width) > 0:
            width += 1.0
        return optimize.brentq(off, t - width, t + width, xtol=1e-12)

    return [end(0.975) / math.sqrt(n), end(0.025) / math.sqrt(n)]


def case(rng, ties):
    n = int(rng.integers(3, 25))
    a = rng.normal(0.8, 0.1, n)
    b = a - rng.normal(rng.uniform(-0.1, 0.1), 0.05, n)
    if ties:
        # Accuracies of 32 trials, exact in binary.
        whole = np.round(a * 32), np.round(b * 32)
        a, b = (x / 32 for x in whole)
    else:
        a, b = a.round(4), b.round(4)
        whole = np.round(a * 10_000), np.round(b * 10_000)
    margin = float(rng.choice([0.02, 0.05, 0.1]))
    differences = a - b
    if np.all(differences == differences[0]):
        return None
    p, (t1, p1, _), (t2, p2, _) = ttost_paired(a, b, -margin, margin)
    d_z = differences.mean() / differences.std(ddof=1)
    bias = math.exp(math.lgamma((n - 1) / 2) - math.lgamma((n - 2) / 2)) * math.sqrt(2 / (n - 1))
    return {
        "a": a.tolist(),
        "b": b.tolist(),
        "margin": margin,
        "tost": [float(v) for v in (t1, p1, t2, p2, p)],
        "d_z": float(d_z),
        "g_z": float(d_z * bias),
        "interval": interval(d_z, n),
        # On whole numbers: pingouin compares differences as floats.
        "rank_biserial": float(pingouin.wilcoxon(*whole)["RBC"].iloc[0]),
    }


rng = np.random.default_rng(1)
cases = []
while len(cases) < 240:
    found = case(rng, len(cases) % 2 == 1)
    if found is not None:
        cases.append(found)
print(json.dumps(cases, separators=(",", ":")))
