#!/usr/bin/env python3
"""What an Ant on its back is worth to a run of ddppo-plus (docs/decisions/110): tools/ant-falls.py RUN STEP

Needs torch and safetensors. Counts falls and rightings among the run's transitions; then, from 1000 upright and 1000 inverted states of the
block that follows the checkpoint of STEP, steps its model with its policy, members and noise drawn, and prints rewards, postures and values.
"""

import pathlib
import re
import sys

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file

run, step = pathlib.Path(sys.argv[1]) / "checkpoints", int(sys.argv[2])
torch.manual_seed(0)
torch.set_grad_enabled(False)


def rows(name):
    parts = {}
    for path in run.glob(f"rows/real-{name}-*.safetensors"):
        first, end = map(int, re.search(r"-(\d+)-(\d+)-", path.name).groups())
        parts[first] = next(iter(load_file(path).values())).reshape(end - first, -1)
    return torch.tensor(np.concatenate([parts[first] for first in sorted(parts)])).float()


def up(states):
    q = states[:, 1:5]
    return 1 - 2 * (q[:, 1] ** 2 + q[:, 2] ** 2) / (q**2).sum(1)


states, rewards, next_states = rows("observations"), rows("rewards")[:, 0], rows("next_observations")
goes_on = (states[1:] - next_states[:-1]).abs().sum(1) < 1e-5
falls = rightings = posture = 0
for row, height in enumerate(up(states).tolist()):
    if row and not goes_on[row - 1]:
        posture = 0
    now = 1 if height > 0.5 else -1 if height < -0.5 else posture
    falls, rightings = falls + (posture == 1 and now == -1), rightings + (posture == -1 and now == 1)
    posture = now
print(f"{len(states)} transitions: {falls} falls, {rightings} rightings")

saved = {key: torch.tensor(value) for key, value in load_file(run / str(step) / "state.safetensors").items()}


def network(name, x):
    for layer in range(4):
        x = x @ saved[f"{name}/{layer}/weight"] + saved[f"{name}/{layer}/bias"]
        x = F.silu(x) if layer < 3 else x
    return x


def standard(x, name):
    return (x - saved[f"{name}input_mean"][: x.shape[1]]) / saved[f"{name}input_std"][: x.shape[1]]


def act(s):
    mean, raw = network("policy", standard(s, "policy/")).chunk(2, -1)
    return torch.tanh(mean + (F.softplus(raw) + 1e-5) * torch.randn_like(mean))


def imagine(s):
    x = standard(torch.cat([s, act(s)], 1), "prediction_model/")
    member = torch.randint(8, (len(s),))
    y = torch.stack([network(f"prediction_model/{m}", x) for m in range(8)])[member, torch.arange(len(s))]
    sigma = torch.stack([saved[f"prediction_model/{m}/log_sigma"].exp() for m in range(8)])[member]
    y[:, 1:] += sigma[:, 1:] * torch.randn(len(s), s.shape[1])
    y = saved["prediction_model/labels/input_mean"] + saved["prediction_model/labels/input_std"] * y
    return s + y[:, 1:], y[:, 0]


low, high = saved["value_range"].tolist()
for name, found in (("upright", up(states) > 0.5), ("inverted", up(states) < -0.5)):
    block = torch.arange(len(states))[step : step + 1000]
    block = block[found[block]]
    if len(block) == 0:
        print(name, "none in this block")
        continue
    block = block[torch.randint(len(block), (1000,))]
    s = states[block]
    x = torch.cat([standard(s, "policy/"), act(s)], 1)
    q = torch.stack([network(f"critic{k}", x) for k in range(1, 6)]).mean() * (high - low) / 2 + (high + low) / 2
    print(f"{name}: real reward {rewards[block].mean():.2f}, value {q:.0f}")
    for k in range(1, 51):
        s, reward = imagine(s)
        if k in (5, 20, 50):
            print(f"  after {k}: imagined reward {reward.mean():.2f}, inverted {(up(s) < -0.5).float().mean():.2f}")
