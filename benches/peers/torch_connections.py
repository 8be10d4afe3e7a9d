"""A training step along connections in PyTorch per turn.

    python torch_connections.py INPUTS THREADS coo|csr|gather STEPS
"""

import os
import sys

from connections import Network, keep_to_cores

os.environ["CUDA_VISIBLE_DEVICES"] = ""
threads = int(sys.argv[2])
keep_to_cores(threads)

import torch

from turns import take_turns


def main():
    kind, network = sys.argv[3], Network(sys.argv[1], int(sys.argv[4]))
    torch.set_num_threads(threads)
    units, trials = network.units, network.trials
    to = torch.from_numpy(network.to).long()
    source = torch.from_numpy(network.source).long()
    inputs, labels = torch.from_numpy(network.inputs), torch.from_numpy(network.labels).long()

    def learned(array):
        return torch.from_numpy(array).requires_grad_()

    values = learned(network.values)
    weights = learned(network.input)
    bias = learned(network.bias)
    readout = learned(network.readout)
    readout_bias = learned(network.readout_bias)
    adam = torch.optim.Adam([values, weights, bias, readout, readout_bias], lr=1e-3, eps=1e-7)
    pairs = torch.stack([to, source])
    rows = torch.searchsorted(to, torch.arange(units + 1))

    def recurrent():
        if kind == "coo":
            matrix = torch.sparse_coo_tensor(pairs, values, (units, units), is_coalesced=True)
            return lambda h: torch.sparse.mm(matrix, h)
        if kind == "csr":
            matrix = torch.sparse_csr_tensor(rows, source, values, (units, units))
            return lambda h: torch.sparse.mm(matrix, h)
        return lambda h: torch.zeros(units, trials).index_add(0, to, h[source] * values[:, None])

    def step():
        adam.zero_grad(set_to_none=True)
        product = recurrent()
        hidden = torch.zeros(units, trials)
        for at, x in enumerate(inputs):
            drive = weights.T @ x + bias[:, None]
            hidden = torch.relu(drive + product(hidden) if at else drive)
        outputs = readout.T @ hidden + readout_bias[:, None]
        loss = torch.nn.functional.cross_entropy(outputs.T, labels)
        loss.backward()
        adam.step()
        return {"loss": loss.item()}

    take_turns(step, {"peer": f"PyTorch {torch.__version__}", "threads": threads})


main()
