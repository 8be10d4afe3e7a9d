"""Trained networks as PyTorch modules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from pallium._program import PalliumError

if TYPE_CHECKING:
    from pallium._training import Training

_TRANSFER: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "softplus": nn.functional.softplus,
}
#: Step of a task that states none, in ms.
_STEP_MS = 20.0
#: Least probability of a class in a reservoir's answer.
_FLOOR = 1e-3
#: The blocks of gated networks in PyTorch's order, by their suffixes.
_GRU = ("_reset", "_update", "")
_LSTM = ("_input", "_forget", "", "_output")
_POPULATIONS = "ei"


class RateNetwork(nn.Module):
    """h′ = (1 − α)∘h + α∘f(x·Wx + h·W + b), with a linear read-out.

    In a network on connections, `recurrent` has one weight for each connection, and `pairs` (2 × connections)
    the units that it leads from and to.
    """

    alpha: Tensor
    pairs: Tensor | None
    input: nn.Parameter
    recurrent: nn.Parameter
    bias: nn.Parameter
    readout: nn.Parameter
    readout_bias: nn.Parameter

    def __init__(
        self, weights: dict[str, Tensor], alpha: Tensor | float, transfer: str, *, logarithm: bool = False
    ) -> None:
        super().__init__()
        for name in ("input", "recurrent", "bias", "readout", "readout_bias"):
            self.register_parameter(name, nn.Parameter(weights[name]))
        self.register_buffer("pairs", weights.get("pairs"))
        units = weights["bias"].shape[0]
        self.register_buffer("alpha", torch.as_tensor(alpha, dtype=torch.float32).expand(units).clone())
        self.transfer, self.logarithm = transfer, logarithm

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs (trials × steps × outputs) and activity (trials × steps × units)."""
        drive = inputs @ self.input + self.bias
        state = drive.new_zeros(inputs.shape[0], drive.shape[2])
        recurrence = self._recurrence(drive.shape[2])
        states = []
        for step in range(inputs.shape[1]):
            rate = _TRANSFER[self.transfer](drive[:, step] + recurrence(state))
            state = (1 - self.alpha) * state + self.alpha * rate
            states.append(state)
        activity = torch.stack(states, dim=1)
        outputs = activity @ self.readout + self.readout_bias
        return (outputs.clamp_min(_FLOOR).log() if self.logarithm else outputs), activity

    def _recurrence(self, units: int) -> Callable[[Tensor], Tensor]:
        """Return h ↦ h·W."""
        if self.pairs is None:
            return lambda state: state @ self.recurrent
        # PyTorch multiplies sparse matrices from the left: Wᵀ·hᵀ.
        transposed = torch.sparse_coo_tensor(
            self.pairs.flip(0), self.recurrent, (units, units), check_invariants=True
        ).coalesce()
        return lambda state: torch.sparse.mm(transposed, state.T).T


class GatedNetwork(nn.Module):
    """`torch.nn.GRU` or `torch.nn.LSTM` with a linear read-out."""

    def __init__(self, cell: nn.GRU | nn.LSTM, readout: nn.Linear) -> None:
        super().__init__()
        self.cell, self.readout = cell, readout

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs (trials × steps × outputs) and activity (trials × steps × units)."""
        activity = self.cell(inputs)[0]
        return self.readout(activity), activity


def network(training: Training) -> nn.Module:
    """Return the module of a training."""
    spec = training.about["spec"]["model"]
    model, parameters = spec["use"] if "use" in spec else spec["id"], spec.get("params", {})
    arrays = dict(training.parameters)
    if training.connections is not None:
        arrays["pairs"] = training.connections
    weights = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}
    match model:
        case "rnn.vanilla" | "rnn.candle" | "rnn.reservoir":
            reservoir = model == "rnn.reservoir"
            loss = training.about["task_info"].get("loss")
            return RateNetwork(
                weights,
                parameters.get("leak", 1.0),
                "tanh" if reservoir else "relu",
                logarithm=reservoir and loss != "mean-squared-error",
            )
        case "rnn.populations":
            return RateNetwork(_joined(weights), parameters.get("leak", 1.0), "relu")
        case "rnn.leaky":
            step = parameters.get("step") or training.about["task_info"].get("step_ms") or _STEP_MS
            alpha = (math.log(step) - weights["log_time_constant"].double()).clamp_max(0.0).exp().float()
            return RateNetwork(weights, alpha, parameters.get("transfer", "relu"))
        case "rnn.gru":
            return _gated(nn.GRU, weights, _GRU)
        case "rnn.lstm":
            return _gated(nn.LSTM, weights, _LSTM)
        case _:
            raise PalliumError(
                f"`{model}` cannot be converted to a PyTorch module",
                help="build the module yourself from `parameters`",
            )


def _gated(
    kind: type[nn.GRU] | type[nn.LSTM], weights: dict[str, Tensor], order: tuple[str, ...]
) -> GatedNetwork:
    (channels, units), outputs = weights["input"].shape, weights["readout"].shape[1]
    cell, readout = kind(channels, units, batch_first=True), nn.Linear(units, outputs)

    def stacked(name: str) -> Tensor:
        return torch.cat(
            [weights[f"{name}{suffix}"].T if name != "bias" else weights[f"bias{suffix}"] for suffix in order]
        )

    recurrent_bias = torch.zeros(len(order) * units)
    if "recurrent_bias" in weights:
        # PyTorch has one for each gate; only the candidate's, the last, is not redundant.
        recurrent_bias[-units:] = weights["recurrent_bias"]
    cell.load_state_dict(
        {
            "weight_ih_l0": stacked("input"),
            "weight_hh_l0": stacked("recurrent"),
            "bias_ih_l0": stacked("bias"),
            "bias_hh_l0": recurrent_bias,
        }
    )
    readout.load_state_dict({"weight": weights["readout"].T, "bias": weights["readout_bias"]})
    return GatedNetwork(cell, readout)


def _joined(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the blocks of excitatory and inhibitory populations as one network's."""
    present = [letter for letter in _POPULATIONS if f"input_{letter}" in weights]
    rows: list[Any] = [
        torch.cat([weights[f"recurrent_{source}{target}"] for target in present], dim=1) for source in present
    ]
    return {
        "recurrent": torch.cat(rows),
        "input": torch.cat([weights[f"input_{letter}"] for letter in present], dim=1),
        "readout": torch.cat([weights[f"readout_{letter}"] for letter in present]),
        "bias": weights["bias"],
        "readout_bias": weights["readout_bias"],
    }
