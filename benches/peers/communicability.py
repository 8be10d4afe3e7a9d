"""Errors of the communicability penalty along connections, from the folder that
`compare connected --communicability --write FOLDER` wrote: value, gradient and the
communicability of single pairs, against SciPy.

    compare connected --units 3000 --connections 60000 --trials 8 --steps 4 --threads 1
        --communicability --write FOLDER target/release/libpallium_*.so < /dev/null
    python communicability.py FOLDER

The penalty is sum(|W| * D * C) with C = exp(A), A = |W_ij| / sqrt(s_i s_j), s the row sums of |W|,
and C's diagonal 0. With all distances, the gradient of C is scipy.linalg.expm_frechet of the dense
matrix (up to some 3,000 neurons). If only few rows have distances, it is the integral
exp(sA')M exp((1-s)A') over s from 0 to 1, by Gauss-Legendre quadrature of scipy.sparse.linalg.expm_multiply.
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.linalg import expm, expm_frechet
from scipy.sparse.linalg import expm_multiply

FACTOR = 0.3  # The default `strength` of spatial.communicability.
NODES = 24
LARGEST_DENSE = 4000


def load(folder, name):
    return np.load(Path(folder) / f"{name}.npy").astype(np.float64).ravel()


def main(folder):
    row, column = (load(folder, name).astype(int) for name in ("row", "column"))
    weight, distance, found = (load(folder, name) for name in ("weight", "distance", "gradient"))
    n = int(max(row.max(), column.max())) + 1
    size = np.abs(weight)
    strength = np.bincount(row, size, n)
    with np.errstate(divide="ignore"):
        root = np.where(strength > 0, strength**-0.5, 0.0)
    a = sparse.csr_array((size * root[row] * root[column], (row, column)), shape=(n, n))
    off_diagonal = row != column
    m = np.where(off_diagonal & (strength[row] > 0), FACTOR * size * distance, 0.0)
    sources = np.unique(row[m != 0])
    m_rows = sparse.csr_array((m, (row, column)), shape=(n, n))

    if n <= LARGEST_DENSE:
        c = expm(a.toarray())[row, column]
        slope = expm_frechet(a.toarray().T, m_rows.toarray(), compute_expm=False)[row, column]
    else:
        start = np.zeros((n, len(sources)))
        start[sources, np.arange(len(sources))] = 1.0
        at, rows = a.T.tocsr(), m_rows[sources].toarray().T
        reached = expm_multiply(at, start)
        place = np.full(n, -1)
        place[sources] = np.arange(len(sources))
        c = np.where(place[row] >= 0, reached[column, place[row]], 0.0)
        slope = np.zeros(len(row))
        nodes, shares = np.polynomial.legendre.leggauss(NODES)
        for x, share in zip((nodes + 1) / 2, shares / 2, strict=True):
            left = expm_multiply(at * x, start)
            right = expm_multiply(a * (1 - x), rows)
            slope += share * np.einsum("ek,ek->e", left[row], right[column])
    value = float(np.sum(m * c))
    through = slope * a.toarray()[row, column] if n <= LARGEST_DENSE else slope * size * root[row] * root[column]
    scaled = np.bincount(row, through, n) + np.bincount(column, through, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.where(strength > 0, 0.5 * scaled / strength, 0.0)
    direct = np.where(off_diagonal, FACTOR * distance * c, 0.0)
    exact = np.sign(weight) * (direct + slope * root[row] * root[column] - shift[row])

    # The communicability of pairs with a distance, of walks of up to four connections.
    some = m != 0
    truncated, power, factorial = np.zeros(len(row)), None, 1.0
    block = a[sources]
    for k in range(1, 5):
        power = block if power is None else power @ a
        factorial *= k
        dense = power.tocsr()
        truncated[some] += np.asarray(dense[np.searchsorted(sources, row[some]), column[some]]).ravel() / factorial
    off = np.abs(truncated[some] / c[some] - 1)
    difference = np.abs(found - exact)
    largest = np.abs(exact).max()
    print(
        json.dumps(
            {
                "neurons": n,
                "connections": len(row),
                "rows": len(sources),
                "penalty": float(load(folder, "penalty")[0]),
                "exact": value,
                "penalty_error": abs(float(load(folder, "penalty")[0]) / value - 1),
                "gradient_error": float(np.linalg.norm(found - exact) / np.linalg.norm(exact)),
                "gradient_error_worst_entry_of_largest": float(difference.max() / largest),
                "pairs_error_median": float(np.median(off)),
                "pairs_error_largest": float(off.max()),
                "pairs_off_by_more_than_1e-4": float(np.mean(off > 1e-4)),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
