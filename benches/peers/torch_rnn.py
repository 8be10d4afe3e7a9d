"""Training in PyTorch, one epoch and its validation per turn.

    python torch_rnn.py INPUTS THREADS
"""

import os
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["OMP_NUM_THREADS"] = sys.argv[2]

import torch

from turns import Inputs, take_turns


def communicability(weights):
    absolute = weights.abs()
    root = absolute.sum(1).rsqrt()
    c = torch.matrix_exp(root[:, None] * absolute * root[None, :])
    return c - torch.diag(torch.diagonal(c))


def penalty(inputs):
    """The penalty as a function of the recurrent weights, or None."""
    strength = inputs.strength
    if inputs.constraint == "none":
        return None
    if inputs.constraint == "l1":
        return lambda w: strength * w.abs().sum()
    distance = torch.from_numpy(inputs.distance)
    if inputs.constraint == "distance":
        return lambda w: strength * (w.abs() * distance).sum()
    if inputs.constraint == "communicability":
        return lambda w: strength * (w.abs() * distance * communicability(w)).sum()
    empirical = torch.from_numpy(inputs.empirical())

    def emd(w):
        c = communicability(w).flatten().sort().values
        return strength * (w.abs() * distance).sum() + inputs.emd_strength * (c - empirical).abs().mean()

    return emd


def main():
    inputs, threads = Inputs(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    # Steps first, the fastest layout for nn.RNN.
    train = torch.from_numpy(inputs.train).transpose(0, 1).contiguous()
    train_labels = torch.from_numpy(inputs.train_labels)
    validation = torch.from_numpy(inputs.validation).transpose(0, 1).contiguous()
    validation_labels = torch.from_numpy(inputs.validation_labels)
    channels = train.shape[2]

    rnn = torch.nn.RNN(channels, inputs.neurons, nonlinearity="relu")
    readout = torch.nn.Linear(inputs.neurons, inputs.classes)
    with torch.no_grad():
        rnn.weight_hh_l0.copy_(torch.from_numpy(inputs.recurrent).T)
        for weights in (rnn.weight_ih_l0, readout.weight):
            torch.nn.init.xavier_uniform_(weights)
        for bias in (rnn.bias_ih_l0, rnn.bias_hh_l0, readout.bias):
            bias.zero_()
    # One bias, as in the model; the second bias of nn.RNN stays 0.
    rnn.bias_hh_l0.requires_grad_(False)
    parameters = [p for p in [*rnn.parameters(), *readout.parameters()] if p.requires_grad]
    adam = torch.optim.Adam(parameters, lr=1e-3, eps=1e-7)
    term = penalty(inputs)
    cross_entropy = torch.nn.functional.cross_entropy

    def epoch():
        total = 0.0
        for at in range(0, train.shape[1], inputs.batch):
            x = train[:, at : at + inputs.batch]
            labels = train_labels[at : at + inputs.batch]
            adam.zero_grad(set_to_none=True)
            hidden = rnn(x + inputs.noise * torch.randn_like(x))[1][0]
            loss = cross_entropy(readout(hidden), labels)
            if term is not None:
                loss = loss + term(rnn.weight_hh_l0.T)
            loss.backward()
            adam.step()
            total += loss.item() * len(labels)
        with torch.inference_mode():
            for at in range(0, validation.shape[1], inputs.batch):
                hidden = rnn(validation[:, at : at + inputs.batch])[1][0]
                cross_entropy(readout(hidden), validation_labels[at : at + inputs.batch]).item()
        return {"loss": total / train.shape[1]}

    take_turns(epoch, {"peer": f"PyTorch {torch.__version__}", "threads": threads})


main()
