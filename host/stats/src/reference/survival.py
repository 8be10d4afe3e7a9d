"""Writes survival.json: random durations with ties and censoring, and what scipy and
statsmodels give for them.

    python survival.py > survival.json        # scipy 1.17, statsmodels 0.15

Survival curves: scipy.stats.ecdf of censored data. Log-rank tests: of two groups
scipy.stats.logrank, whose statistic is the root of chi squared; of more groups, and
stratified, statsmodels' survdiff.
"""

import json

import numpy as np
from scipy import stats
from statsmodels.duration.survfunc import survdiff

rng = np.random.default_rng(20260729)


def group():
    n = rng.integers(2, 12)
    scale = rng.uniform(2, 8)
    times = 1 + np.floor(rng.exponential(scale, n))
    end = rng.integers(4, 14)
    events = (times <= end) & (rng.random(n) < rng.choice([0.6, 0.9, 1.0]))
    return np.minimum(times, end).astype(float), events.astype(int)


def censored(times, events):
    return stats.CensoredData(uncensored=times[events == 1], right=times[events == 0])


cases = []
while len(cases) < 300:
    number = len(cases)
    strata, groups = (1, 2) if number < 150 else (1, int(rng.integers(3, 6))) if number < 225 else (2, 2)
    data = [[group() for _ in range(groups)] for _ in range(strata)]
    first = data[0][0]
    curve = [[], []]
    if first[1].any():
        sf = stats.ecdf(censored(*first)).sf
        shown = [t in set(first[0][first[1] == 1]) for t in sf.quantiles]
        curve = [sf.quantiles[shown].tolist(), sf.probabilities[shown].tolist()]
    pooled = [d for stratum in data for d in stratum]
    if not all(events.any() for _, events in pooled):
        continue
    if number < 150:
        x, y = (censored(*d) for d in data[0])
        found = stats.logrank(x, y)
        test = [float(found.statistic) ** 2, float(found.pvalue)]
    else:
        time = np.concatenate([d[0] for d in pooled])
        status = np.concatenate([d[1] for d in pooled])
        label = np.concatenate(
            [np.full(len(d[0]), at) for stratum in data for at, d in enumerate(stratum)]
        )
        which = np.concatenate(
            [np.full(len(d[0]), at) for at, stratum in enumerate(data) for d in stratum]
        )
        chisq, p = survdiff(time, status, label, strata=which if strata > 1 else None)
        test = [float(chisq), float(p)]
    if not np.isfinite(test).all():
        continue
    cases.append(
        {
            "strata": [[[d[0].tolist(), d[1].tolist()] for d in stratum] for stratum in data],
            "curve": curve,
            "logrank": test,
        }
    )
print(json.dumps(cases, separators=(",", ":")))
