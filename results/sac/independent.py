#!/usr/bin/env python3
"""Soft actor-critic in plain PyTorch and Gymnasium, with the settings of `ddppo train HalfCheetah --algo sac`: a second
opinion on how fast it learns. Shares nothing with ddppo but the description (docs/decisions/040-sac.md).

    python independent.py SEED STEPS LEARN_FROM RANDOM_STEPS [LEARNING_RATE] [TASK] > curve.jsonl

One JSON object every 1000 steps: the mean return of five episodes of tanh(mean), the temperature, the critic's mean.
Needs torch, gymnasium and mujoco.
"""

import copy
import json
import sys

import gymnasium
import numpy as np
import torch
from torch import nn

seed, steps, learn_from, random_steps = map(int, sys.argv[1:5])
rate = float(sys.argv[5]) if len(sys.argv) > 5 else 3e-4
task = sys.argv[6] if len(sys.argv) > 6 else "HalfCheetah-v4"
torch.set_num_threads(1)
torch.manual_seed(seed)
rng = np.random.default_rng(seed)
world, test = gymnasium.make(task), gymnasium.make(task)
world.action_space.seed(seed)
states, actions = world.observation_space.shape[0], world.action_space.shape[0]
high = torch.tensor(world.action_space.high)


def network(inputs, outputs):
    layers = [nn.Linear(inputs, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, outputs)]
    for layer in layers[::2]:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


policy = network(states, 2 * actions)
critics = [network(states + actions, 1) for _ in range(2)]
targets = copy.deepcopy(critics)
log_alpha = torch.zeros(1, requires_grad=True)
policy_adam = torch.optim.Adam(policy.parameters(), rate)
critic_adam = torch.optim.Adam([p for q in critics for p in q.parameters()], rate)
alpha_adam = torch.optim.Adam([log_alpha], rate)


def act(state):
    """Sampled action, log π of it, and the deterministic action."""
    mean, log_std = policy(state).chunk(2, -1)
    log_std = log_std.clamp(-20, 2)
    noise = torch.randn_like(mean)
    action = torch.tanh(mean + log_std.exp() * noise)
    log_density = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi) - torch.log(high * (1 - action**2) + 1e-6)
    return action * high, log_density.sum(-1, keepdim=True), torch.tanh(mean) * high


def smallest(networks, state, action):
    both = torch.cat([state, action], 1)
    return torch.min(networks[0](both), networks[1](both))


def descend(adam, loss):
    adam.zero_grad()
    loss.backward()
    adam.step()


def update(s, a, r, after, ended):
    alpha = log_alpha.exp().detach()
    with torch.no_grad():
        next_action, next_log_density, _ = act(after)
        goal = r + 0.99 * (1 - ended) * (smallest(targets, after, next_action) - alpha * next_log_density)
    values = [q(torch.cat([s, a], 1)) for q in critics]
    descend(critic_adam, sum(((value - goal) ** 2).mean() for value in values))
    action, log_density, _ = act(s)
    descend(policy_adam, (alpha * log_density - smallest(critics, s, action)).mean())
    descend(alpha_adam, -(log_alpha * (log_density.detach() - actions)).mean())
    with torch.no_grad():
        for target, q in zip(targets, critics):
            for old, new in zip(target.parameters(), q.parameters()):
                old.lerp_(new, 0.005)
    return values[0].mean().item()


def single(state):
    return torch.as_tensor(state, dtype=torch.float32)[None]


def episode(number):
    state, _ = test.reset(seed=1000 + number)
    total, done = 0.0, False
    while not done:
        with torch.no_grad():
            action = act(single(state))[2][0].numpy()
        state, reward, ended, cut, _ = test.step(action)
        total, done = total + reward, ended or cut
    return total


shapes = [states, actions, 1, states, 1]
rows = [np.zeros((steps, n), np.float32) for n in shapes]
state, _ = world.reset(seed=seed)
value = 0.0
for step in range(1, steps + 1):
    if step <= random_steps:
        action = world.action_space.sample()
    else:
        with torch.no_grad():
            action = act(single(state))[0][0].numpy()
    after, reward, ended, cut, _ = world.step(action)
    for column, entry in zip(rows, (state, action, reward, after, ended)):
        column[step - 1] = entry
    state = world.reset()[0] if ended or cut else after
    if step > learn_from:
        chosen = rng.integers(0, step, 256)
        value = update(*(torch.from_numpy(column[chosen]) for column in rows))
    if step % 1000 == 0:
        mean = float(np.mean([episode(k) for k in range(5)]))
        print(json.dumps({"step": step, "return_mean": mean, "alpha": log_alpha.exp().item(), "value": value}), flush=True)
