"""A training step along connections in JAX per turn.

    python jax_connections.py INPUTS THREADS bcoo|segment-sum STEPS
"""

import os
import sys

from connections import Network, keep_to_cores

threads = int(sys.argv[2])
keep_to_cores(threads)
os.environ["JAX_PLATFORMS"] = "cpu"
if threads == 1:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import jax
import jax.numpy as jnp
from jax.experimental import sparse

from turns import take_turns


def main():
    kind, network = sys.argv[3], Network(sys.argv[1], int(sys.argv[4]))
    units = network.units
    to, source = jnp.asarray(network.to), jnp.asarray(network.source)
    pairs = jnp.stack([to, source], axis=1)
    inputs, labels = jnp.asarray(network.inputs), jnp.asarray(network.labels)

    def product(values, hidden):
        if kind == "bcoo":
            matrix = sparse.BCOO(
                (values, pairs), shape=(units, units), indices_sorted=True, unique_indices=True
            )
            return matrix @ hidden
        return jax.ops.segment_sum(
            hidden[source] * values[:, None], to, num_segments=units, indices_are_sorted=True
        )

    def cost(learned, inputs):
        values, weights, bias, readout, readout_bias = learned
        drive = weights.T @ inputs[0] + bias[:, None]
        hidden = jax.nn.relu(drive)
        for x in inputs[1:]:
            hidden = jax.nn.relu(weights.T @ x + bias[:, None] + product(values, hidden))
        outputs = (readout.T @ hidden + readout_bias[:, None]).T
        chosen = jnp.take_along_axis(jax.nn.log_softmax(outputs), labels[:, None], axis=1)
        return -chosen.mean()

    @jax.jit
    def update(state, inputs):
        learned, first, second, count = state
        loss, gradient = jax.value_and_grad(cost)(learned, inputs)
        count += 1
        first = [0.9 * m + 0.1 * g for m, g in zip(first, gradient)]
        second = [0.999 * v + 0.001 * g * g for v, g in zip(second, gradient)]
        rate = 1e-3 * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        learned = [p - rate * m / (jnp.sqrt(v) + 1e-7) for p, m, v in zip(learned, first, second)]
        return loss, (learned, first, second, count)

    names = ["values", "input", "bias", "readout", "readout_bias"]
    learned = [jnp.asarray(getattr(network, name)) for name in names]
    state = (learned, [0 * p for p in learned], [0 * p for p in learned], 0.0)

    def step():
        nonlocal state
        loss, state = update(state, inputs)
        return {"loss": float(jax.block_until_ready(loss))}

    take_turns(step, {"peer": f"JAX {jax.__version__}", "threads": threads})


main()
