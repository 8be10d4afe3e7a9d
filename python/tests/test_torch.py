"""Exported networks answer as Pallium's, on the 256 trials that a metric is given."""

from __future__ import annotations

import numpy as np
import pytest

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


def test_answers_are_equal(small, tmp_path):
    (tmp_path / "keep.py").write_text(KEEP)
    small |= {
        "tasks": ["cognition.one-choice"],
        "variant": [{"name": name, "model": model} for name, model in MODELS.items()]
        + [{"name": "sparse", "weights": {"use": "init.sparse"}}],
        "metrics": {"use": [pallium.use("python.metric", path=str(tmp_path / "keep.py"), name="Keep")]},
    }
    small["training"] = {**small["training"], "test": 256}
    run = pallium.run(small, tmp_path / "out", progress=False)
    for cell in run:
        (kept,) = cell.measured_arrays.values()
        with torch.no_grad():
            outputs, activity = cell.to_torch()(torch.from_numpy(kept["inputs"]))
        steps = np.arange(kept["inputs"].shape[1])[:, None] < kept["lengths"][None, :]
        found = activity.numpy().transpose(1, 0, 2)[steps]
        np.testing.assert_allclose(found, kept["activity"][steps], atol=1e-5, err_msg=cell.variant)
        at = np.argwhere(kept["mask"].T > 0)
        scored = outputs.numpy()[at[:, 1], at[:, 0]]
        expected = kept["outputs"]
        if cell.variant == "reservoir":
            # Its answers are logarithms, which enlarge the rounding of small probabilities.
            scored, expected = np.exp(scored), np.exp(expected)
        np.testing.assert_allclose(scored, expected, atol=1e-5, err_msg=cell.variant)
        assert len(kept["inputs"]) >= 64
