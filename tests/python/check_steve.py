#!/usr/bin/env python3
"""Recomputes STEVE's targets and gradients, as tests/steve_jax.rs writes them, in JAX in double precision, and compares.

    python tests/python/check_steve.py FILE.safetensors TOLERANCE

One line a group of tensors: its largest relative error. Exit code 0: all within the tolerance; 1: not.
"""

import re
import sys

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")

import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file

DISCOUNT, HORIZON, PENALTY = 0.99, 3, 1e-3
FILE = {name: np.asarray(value, np.float64) for name, value in load_file(sys.argv[1]).items()}
TOLERANCE = float(sys.argv[2])


def network(name):
    layers = []
    while f"{name}/{len(layers)}/weight" in FILE:
        layers.append((FILE[f"{name}/{len(layers)}/weight"], FILE[f"{name}/{len(layers)}/bias"]))
    return layers


def ensemble(name):
    count = len({m.group(1) for m in (re.match(rf"{name}/(\d+)/", key) for key in FILE) if m})
    return [network(f"{name}/{m}") for m in range(count)]


def run(layers, *inputs):
    x = jnp.concatenate(inputs, axis=-1)
    for weight, bias in layers[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    weight, bias = layers[-1]
    return x @ weight + bias


def batch(name):
    parts = ["states", "actions", "rewards", "next_states", "terminated"]
    return [FILE[f"{name}/{part}"] for part in parts]


POLICY, CRITIC, TARGET = network("policy"), ensemble("critic"), ensemble("target")
MODEL = {name: ensemble(name) for name in ["transition", "reward", "termination"]}


def act(policy, states):
    return jnp.tanh(run(policy, states))


def targets():
    _, _, rewards, first, ended = batch("batch")
    returns = [[] for _ in range(HORIZON + 1)]
    for e, transition in enumerate(MODEL["transition"]):
        state, alive = first, 1.0 - ended
        gained = [rewards for _ in MODEL["reward"]]
        for i in range(HORIZON + 1):
            if i > 0:
                action = act(POLICY, state)
                after = state + run(transition, state, action)
                for m, reward in enumerate(MODEL["reward"]):
                    imagined = run(reward, after, state, action)[:, 0]
                    gained[m] = gained[m] + DISCOUNT**i * alive * imagined
                end = jax.nn.sigmoid(run(MODEL["termination"][e], after, state, action)[:, 0])
                state, alive = after, alive * (1.0 - end)
            action = act(POLICY, state)
            for sum_of_rewards in gained:
                for q in TARGET:
                    tail = DISCOUNT ** (i + 1) * alive * run(q, state, action)[:, 0]
                    returns[i].append(sum_of_rewards + tail)
    returns = jnp.stack([jnp.stack(each) for each in returns])
    weights = 1.0 / (returns.var(axis=1) + 1e-8)
    weights = weights / weights.sum(axis=0)
    depths = (weights * jnp.arange(HORIZON + 1)[:, None]).sum(axis=0)
    return (weights * returns.mean(axis=1)).sum(axis=0), depths


def credited(values, members):
    """Of each row, the value of the network that it is credited to."""
    return jnp.stack(values)[members.astype(int), jnp.arange(len(members))]


def critic_loss(critic, y):
    states, actions, *_ = batch("batch")
    values = [run(q, states, actions)[:, 0] for q in critic]
    return jnp.mean(0.5 * (credited(values, FILE["credited"]) - y) ** 2)


def policy_loss(policy):
    states = batch("batch")[0]
    z = run(policy, states)
    values = jnp.stack([run(q, states, jnp.tanh(z))[:, 0] for q in CRITIC])
    return PENALTY * jnp.mean(z**2) - jnp.mean(values)


def model_loss(model):
    states, actions, rewards, after, ended = batch("model_batch")
    of = lambda name, *inputs: credited(
        [run(member, *inputs) for member in model[name]], FILE[f"members/{name}"]
    )
    change = of("transition", states, actions)
    reward = of("reward", after, states, actions)[:, 0]
    logit = of("termination", after, states, actions)[:, 0]
    entropy = ended * jax.nn.softplus(-logit) + (1.0 - ended) * jax.nn.softplus(logit)
    squares = 0.5 * ((states + change - after) ** 2).sum(axis=1)
    return jnp.mean(squares) + jnp.mean(0.5 * (reward - rewards) ** 2) + jnp.mean(entropy)


def compare(name, expected):
    """Relative error of the gradient of one network, layer by layer."""
    worst, whole = 0.0, np.sqrt(sum(float((w**2).sum() + (b**2).sum()) for w, b in expected))
    assert whole > 0.0, f"{name} has no gradient"
    for l, layer in enumerate(expected):
        for part, value in zip(["weight", "bias"], layer):
            difference = np.linalg.norm(np.asarray(value) - FILE[f"gradient/{name}/{l}/{part}"])
            worst = max(worst, difference / max(float(np.linalg.norm(value)), 1e-6 * whole))
    return worst


def main():
    y, depths = targets()
    relative = lambda told, value: float(jnp.max(jnp.abs(told - value) / (1.0 + jnp.abs(value))))
    errors = {"targets": relative(FILE["targets"], y), "depths": relative(FILE["depths"], depths)}
    # With the targets that were told: their own error is measured above.
    of_critic = jax.grad(critic_loss)(CRITIC, FILE["targets"])
    errors["critic"] = max(compare(f"critic/{k}", g) for k, g in enumerate(of_critic))
    errors["policy"] = compare("policy", jax.grad(policy_loss)(POLICY))
    for name, members in jax.grad(model_loss)(MODEL).items():
        errors[name] = max(compare(f"{name}/{m}", g) for m, g in enumerate(members))
    for name, error in errors.items():
        print(f"{name}: {error:.2e}")
    return 0 if all(error <= TOLERANCE for error in errors.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
