"""Checks the null models on matrices of real fields against what they promise, and against
netneurotools and bctpy on the same matrices.

    pip install numpy netneurotools==0.3.0 bctpy==0.6.1
    python benches/peers/nulls.py target/release/pallium FIELD [FIELD …] [--niter 10000]

For each field: weights from its synapses and weights from its activity. A line of the table is a
null model of one matrix, the worst of three seeds. Every column is computed here from the two
matrices; the same numbers are printed above it for netneurotools or bctpy.

- moved: share of the connections that are at other pairs or, if all pairs are connected, have
  other weights
- strengths: root mean square error of the sums of rows and columns, in their standard deviations
- lengths: Kolmogorov-Smirnov distance of the distributions of connection lengths
- spectrum: largest distance of an eigenvalue to its partner, relative to the largest
  singular value
"""

import argparse
import contextlib
import io
import subprocess
import tempfile
from pathlib import Path

import bct
import numpy as np
from netneurotools.networks import match_length_degree_distribution, strength_preserving_rand_sa_dir

SEEDS = 3


def made(pallium, source, field, seed, null=None, parameters=()):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "w.npy"
        command = [pallium, "weights", source, "--field", field, "--seed", str(seed), "--out", str(file)]
        if null:
            command += ["--null", f"null.{null}"]
        for parameter in parameters:
            command += ["--null-param", parameter]
        subprocess.run(command, check=True, capture_output=True)
        return np.load(file).astype(float)


def positions(field):
    raw = np.load(next(Path(field).glob("positions_*.npy")), allow_pickle=True)
    return np.vstack(list(raw)) * np.array([4, 4, 40]) / 1000


def strengths(a, b):
    sums = lambda m: (m.sum(0), m.sum(1))
    errors = [np.sqrt(np.mean((x - y) ** 2)) / x.std() for x, y in zip(sums(a), sums(b), strict=True)]
    return float(max(errors))


def ks(a, b):
    values = np.concatenate([a, b])
    share = lambda of: np.searchsorted(np.sort(of), values, side="right") / len(of)
    return float(np.abs(share(a) - share(b)).max())


def spectrum(a, b):
    ours, theirs = np.linalg.eigvals(a), np.linalg.eigvals(b)
    apart = np.abs(ours[:, None] - theirs[None])
    # A matrix without cycles has no eigenvalue but 0, to rounding: relative to its norm.
    return float(max(apart.min(0).max(), apart.min(1).max()) / np.linalg.norm(a, 2))


def exactly(a, b):
    return bool(np.array_equal(np.sort(a, axis=None), np.sort(b, axis=None)))


def degrees(a, b):
    return all(np.array_equal((a != 0).sum(axis), (b != 0).sum(axis)) for axis in (0, 1))


def moved(a, b):
    """Share of the connections at other pairs or, if all pairs are connected, with other weights."""
    connected = a != 0
    same = (a == b) if connected.mean() > 0.9 else (b != 0)
    return float(1 - (connected & same).sum() / connected.sum())


def worst(rows):
    return {key: (all if isinstance(rows[0][key], bool) else max)(row[key] for row in rows) for key in rows[0]}


def check(pallium, source, field, niter):
    points = positions(field)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    original = [made(pallium, source, field, seed) for seed in range(SEEDS)]
    sparse = (original[0] == 0).mean() > 0.2
    # Weights from activity connect all pairs, and each neuron most strongly to itself. Such a
    # diagonal cannot move and leave the sums as they are.
    keep = () if sparse else ("diagonal=keep",)
    for null, parameters in [
        ("density", ()),
        ("weight-distribution", ()),
        ("diagonal", ()),
        ("degrees", keep),
        ("strengths", keep),
        ("lengths", keep),
        *([("lengths", ("swaps=10000",)), ("lengths", ("swaps=10000", "bins=10"))] if sparse else []),
        ("eigenvalues", ()),
        ("schur-form", ()),
    ]:
        rows = []
        for seed, a in enumerate(original):
            b = made(pallium, source, field, seed, null, parameters)
            row = {"number of connections": int((a != 0).sum()) == int((b != 0).sum())}
            if null in ("weight-distribution", "degrees", "strengths", "lengths"):
                row["every weight"] = exactly(a, b)
            if null == "diagonal":
                row["diagonal"] = bool(np.array_equal(np.diag(a), np.diag(b)))
                row["every weight"] = exactly(a, b)
            if null in ("degrees", "strengths", "lengths"):
                row["degrees"] = degrees(a, b)
                row["moved"] = moved(a, b)
            if null == "strengths":
                row["strengths"] = strengths(a, b)
                if sparse and seed == 0:
                    with contextlib.redirect_stderr(io.StringIO()):
                        peer, _ = strength_preserving_rand_sa_dir(a, niter=niter, connected=False, seed=seed)
                    print(f"    netneurotools: strengths {strengths(a, peer):.5f}, moved {moved(a, peer):.3f}")
            if null == "degrees" and sparse and seed == 0:
                peer, _ = bct.randmio_dir_connected(a, 20, seed=seed)
                print(f"    bctpy: degrees {degrees(a, peer)}, moved {moved(a, peer):.3f}")
            if null == "lengths":
                off = ~np.eye(len(a), dtype=bool)
                row["lengths"] = ks(distance[(a != 0) & off], distance[(b != 0) & off])
                if sparse and seed == 0 and not parameters:
                    either = np.maximum(np.abs(a), np.abs(a.T))
                    np.fill_diagonal(either, 0)
                    with contextlib.redirect_stdout(io.StringIO()):
                        binary, _, _ = match_length_degree_distribution(
                            either, distance, nswap=20 * len(a), replacement=True, seed=seed
                        )
                    apart = ks(distance[either != 0], distance[binary != 0])
                    print(f"    netneurotools, undirected: lengths {apart:.4f}, moved {moved(either, binary):.3f}")
            if null in ("eigenvalues", "schur-form"):
                row.pop("number of connections")
                row["spectrum"] = spectrum(a, b)
            if null == "schur-form":
                ours, theirs = (np.linalg.svd(m, compute_uv=False) for m in (a, b))
                row["singular values"] = float(np.abs(ours - theirs).max() / ours[0])
            rows.append(row)
        shown = ", ".join(
            f"{key} {'kept' if value is True else 'CHANGED' if value is False else format(value, '.2g')}"
            for key, value in worst(rows).items()
        )
        print(f"  null.{null} {' '.join(parameters)}: {shown}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pallium")
    parser.add_argument("fields", nargs="+")
    parser.add_argument("--niter", type=int, default=10_000)
    arguments = parser.parse_args()
    for field in arguments.fields:
        for source in ("init.synapses", "microns.functional"):
            print(f"{Path(field).name}, {source}")
            check(arguments.pallium, source, field, arguments.niter)


if __name__ == "__main__":
    main()
