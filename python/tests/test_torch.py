"""Exported networks answer as Pallium's, on the 256 trials that a metric is given."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import SMALL

import pallium

torch = pytest.importorskip("torch")

KEEP = '''
class Keep:
    """Keeps the trials and what the network did on them."""

    wants_activity = True
    permutation_invariant = False

    def measure(self, network):
        names = ("inputs", "mask", "outputs", "activity", "lengths")
        return {name: getattr(network, name) for name in names}
'''

MODELS = {
    "vanilla": {"use": "rnn.vanilla"},
    "with leak": {"use": "rnn.vanilla", "leak": 0.4},
    "leaky": {"use": "rnn.leaky", "transfer": "softplus", "tau_spread": 0.5},
    "gru": {"use": "rnn.gru"},
    "lstm": {"use": "rnn.lstm"},
    "populations": {"use": "rnn.populations"},
    "candle": {"use": "rnn.candle"},
    "reservoir": {"use": "rnn.reservoir"},
    "units": {"use": "rnn.vanilla", "input_units": 5, "readout_units": [0, 1, 2]},
}


CONNECTIONS = {
    "on connections": {"connections": True},
    "rewired": {
        "connections": True,
        "constraints": [{"use": "circuit.rewiring", "every": 2, "spread": 0.3}],
    },
    "leaky on connections": {"connections": True, "model": MODELS["leaky"]},
    "units on connections": {"connections": True, "model": MODELS["units"]},
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Trainings of all models, each with the trials that a metric was given."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "keep.py").write_text(KEEP)
    sparse = {"use": "init.sparse", "density": 0.2}
    experiment = SMALL | {
        "runs": 1,
        "tasks": ["cognition.one-choice"],
        "variant": [{"name": name, "model": model} for name, model in MODELS.items()]
        + [{"name": name, "weights": sparse, **keys} for name, keys in CONNECTIONS.items()],
        "metrics": {"use": [pallium.use("python.metric", path=str(folder / "keep.py"), name="Keep")]},
    }
    experiment["training"] = {**SMALL["training"], "test": 256}
    return pallium.run(experiment, folder / "out", progress=False)


@pytest.mark.parametrize("variant", [*MODELS, *CONNECTIONS])
def test_answers_are_equal(variant, kept):
    cell = kept.cell(variant)
    (kept,) = cell.measured_arrays.values()
    with torch.no_grad():
        outputs, activity = cell.to_torch()(torch.from_numpy(kept["inputs"]))
    steps = np.arange(kept["inputs"].shape[1])[:, None] < kept["lengths"][None, :]
    found = activity.numpy().transpose(1, 0, 2)[steps]
    np.testing.assert_allclose(found, kept["activity"][steps], atol=1e-5)
    at = np.argwhere(kept["mask"].T > 0)
    scored, expected = outputs.numpy()[at[:, 1], at[:, 0]], kept["outputs"]
    if variant == "reservoir":
        # Its answers are logarithms, which enlarge the rounding of small probabilities.
        scored, expected = np.exp(scored), np.exp(expected)
    np.testing.assert_allclose(scored, expected, atol=1e-5)
    assert len(kept["inputs"]) == 256
    assert np.abs(found).max() > 0.1


def test_connections_have_one_weight_each(kept):
    sparse = pytest.importorskip("scipy.sparse")
    cell, moved = kept.cell("on connections"), kept.cell("rewired")
    assert isinstance(cell.weights, sparse.csr_array)
    assert cell.to_torch().recurrent.shape == (cell.weights.nnz,)
    # The same pairs before and after, unless they are rewired.
    np.testing.assert_array_equal(cell.weights.indices, cell.initial.indices)
    assert moved.weights.nnz == moved.initial.nnz
    assert not np.array_equal(moved.weights.indices, moved.initial.indices)
    # The gradient reaches the connections alone, as that of a matrix with zeros elsewhere.
    module = cell.to_torch()
    inputs = torch.randn(4, 6, module.input.shape[0], generator=torch.Generator().manual_seed(1))
    module(inputs)[0].square().sum().backward()
    module.pairs, pairs, on = None, module.pairs, module.recurrent
    module.recurrent = torch.nn.Parameter(torch.from_numpy(cell.weights.toarray()))
    module(inputs)[0].square().sum().backward()
    torch.testing.assert_close(module.recurrent.grad[tuple(pairs)], on.grad)
