"""Organization metrics of one matrix with bctpy, networkx and scipy.

    python graph_metrics.py MATRIX.npy THREADS GRAPHS integer|float

A turn computes the metrics of the matrix and GRAPHS graphs of the null ensemble.
The published pipeline draws 1,000 graphs; "whole" is the time extrapolated to
1,000, and the time of each part is reported as well.

The published pipeline's null graphs are integer arrays, which numpy multiplies
without BLAS; with floats bctpy is several times as fast.
"""

import os
import sys

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = sys.argv[2]

import time
from importlib.metadata import version

import bct
import networkx as nx
import numpy as np
from scipy.stats import gaussian_kde

from turns import take_turns

ENSEMBLE = 1000


def graph_of(matrix):
    absolute = np.abs(matrix)
    graph = (absolute > np.quantile(absolute, 0.9)).astype(float)
    np.fill_diagonal(graph, 0)
    return np.maximum(graph, graph.T)


def entropy(matrix):
    values = matrix.ravel()
    density = gaussian_kde(values)(np.linspace(values.min(), values.max(), 100))
    density = density / density.sum()
    return float(-np.sum(density * np.log2(density, where=density > 0, out=np.zeros_like(density))))


def coefficients(graph):
    return np.mean(bct.clustering_coef_bu(graph)), bct.efficiency_bin(graph)


def main():
    matrix = np.load(sys.argv[1]).astype(np.float64)
    graphs, kind = int(sys.argv[3]), {"integer": int, "float": float}[sys.argv[4]]
    draw = np.random.default_rng(1)
    neurons = matrix.shape[0]

    def work():
        began = time.perf_counter()
        graph = graph_of(matrix)
        network = nx.from_numpy_array(graph)
        communities = nx.community.greedy_modularity_communities(network)
        found = {
            "entropy": entropy(matrix),
            "modularity": nx.community.modularity(network, communities),
            "assortativity": nx.degree_assortativity_coefficient(network),
        }
        clustering, efficiency = coefficients(graph)
        found["clustering"], found["efficiency"] = float(clustering), float(efficiency)
        metrics = time.perf_counter() - began

        began = time.perf_counter()
        null = []
        for _ in range(graphs):
            random = draw.random((neurons, neurons))
            null.append(coefficients(((random + random.T) / 2 > 0.7).astype(kind)))
        seconds = time.perf_counter() - began
        null_clustering, null_efficiency = np.mean(null, axis=0)
        found["small_worldness"] = float(
            clustering / null_clustering * (efficiency / null_efficiency)
        )
        whole = metrics + seconds * ENSEMBLE / graphs
        return {"values": found, "metrics": metrics, "graph": seconds / graphs, "whole": whole}

    peer = f"bctpy {version('bctpy')}, networkx {version('networkx')}"
    take_turns(work, {"peer": peer, "threads": int(sys.argv[2]), "graphs": graphs})


main()
