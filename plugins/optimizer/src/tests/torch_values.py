"""Writes torch_values.json: parameters after updates by PyTorch's optimizers.

Gradients are g[t, i] = sin(0.1·(t + 1)·(i + 1))·10^(i mod 5 − 2), t from 0; the
parameters start at 0.5. Run with PyTorch 2 and NumPy: python torch_values.py
"""

import json

import numpy as np
import torch

COUNT, STEPS, KEPT = 12, 200, (1, 2, 10, 50, 200)


def gradient(t):
    i = np.arange(COUNT)
    return (np.sin(0.1 * (t + 1) * (i + 1)) * 10.0 ** (i % 5 - 2)).astype(np.float32)


def run(make, prepare=lambda p: None, schedule=None):
    parameter = torch.nn.Parameter(torch.full((COUNT,), 0.5))
    optimizer = make([parameter])
    scheduler = schedule(optimizer) if schedule else None
    kept = {}
    for t in range(STEPS):
        parameter.grad = torch.from_numpy(gradient(t))
        prepare(parameter)
        optimizer.step()
        if scheduler:
            scheduler.step()
        if t + 1 in KEPT:
            kept[str(t + 1)] = [float(v) for v in parameter.detach().double()]
    return kept


o = torch.optim
cases = [
    ("optimizer.adam", {"form": "torch"}, lambda p: o.Adam(p)),
    ("optimizer.adam", {"form": "torch", "learning_rate": 0.01, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-4},
     lambda p: o.Adam(p, lr=0.01, betas=(0.8, 0.95), eps=1e-4)),
    ("optimizer.adamw", {}, lambda p: o.AdamW(p)),
    ("optimizer.adamw", {"learning_rate": 0.02, "weight_decay": 0.1}, lambda p: o.AdamW(p, lr=0.02, weight_decay=0.1)),
    ("optimizer.sgd", {}, lambda p: o.SGD(p, lr=0.01)),
    ("optimizer.sgd", {"learning_rate": 0.001, "momentum": 0.9}, lambda p: o.SGD(p, lr=0.001, momentum=0.9)),
    ("optimizer.sgd", {"learning_rate": 0.001, "momentum": 0.9, "nesterov": True},
     lambda p: o.SGD(p, lr=0.001, momentum=0.9, nesterov=True)),
    ("optimizer.rmsprop", {}, lambda p: o.RMSprop(p)),
    ("optimizer.rmsprop", {"learning_rate": 0.001, "decay": 0.9, "momentum": 0.5, "centered": True},
     lambda p: o.RMSprop(p, lr=0.001, alpha=0.9, momentum=0.5, centered=True)),
]
values = [{"component": name, "parameters": given, "after": run(make)} for name, given, make in cases]
with open("torch_values.json", "w", encoding="utf-8") as file:
    json.dump({"torch": torch.__version__, "cases": values}, file, indent=1)
