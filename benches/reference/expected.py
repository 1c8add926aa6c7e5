"""What the twins must compute: the probe of tests/python/make_probe.py, made without autodiff, in f64 on tiny networks."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "python"))

import make_probe
import sizes

MEMBERS = make_probe.MEMBERS
PROBE, HEADER = make_probe.make_probe(seed=3)


def layers(prefix):
    count = sum(name.startswith(f"{prefix}/") and name.endswith("/weight") for name in PROBE)
    return [tuple(PROBE[f"{prefix}/{l}/{kind}"] for kind in ("weight", "bias")) for l in range(count)]


def stacked(*prefixes):
    """Several networks as one ensemble: weight [M, in, out], bias [M, 1, out]."""
    same = zip(*(layers(prefix) for prefix in prefixes))
    return [(np.stack([w for w, _ in layer]), np.stack([b for _, b in layer])[:, None]) for layer in same]


def model(name):
    """(layers, mean, std) of an ensemble."""
    members = stacked(*(f"{name}/{k}" for k in range(MEMBERS)))
    return members, PROBE[f"{name}/input_mean"], PROBE[f"{name}/input_std"]


def gradient_step(weight, k, l, kind):
    """Of NLL + weight·R by one tensor of member k."""
    nll, r = (PROBE[f"gradient_step/{part}_gradient/{k}/{l}/{kind}"] for part in ("nll", "r"))
    return nll + weight * r


def critic_batch():
    """Noise [2, B, A], then s, a, r, s', d."""
    rng, rows = np.random.default_rng(4), make_probe.ROWS
    states, actions = (rows, make_probe.STATES), (rows, make_probe.ACTIONS)
    noise, state, action = rng.normal(size=(2, *actions)), rng.normal(size=states), rng.normal(size=actions)
    return noise, state, action, rng.normal(size=rows), rng.normal(size=states), np.eye(rows)[1]


def critic_gradients(log_alpha):
    """Of eq. 12 by the layers of either critic, and of eq. 13 by log α, by complex steps. The targets are the critics."""
    noise, state, action, reward, next_state, done = critic_batch()
    policy, critics = layers("policy"), [layers("critic1"), layers("critic2")]
    bounds = PROBE["action_scale"], PROBE["action_bias"]

    def values(critic, state, action):
        return make_probe.forward(critic, np.concatenate([state, action], axis=1), make_probe.relu)[:, 0]

    next_action, next_log_prob = make_probe.act(policy, next_state, noise[0], *bounds)
    value = np.minimum(*(values(critic, next_state, next_action) for critic in critics))
    target = reward + sizes.DISCOUNT * (1 - done) * (value - np.exp(log_alpha) * next_log_prob)
    gradients = []
    for critic in critics:
        gradient = make_probe.zeros_like(critic)
        for l, kind, index in make_probe.coordinates(critic):
            moved = make_probe.perturbed(critic, l, kind, index, make_probe.H)
            loss = ((values(moved, state, action) - target) ** 2).mean()
            gradient[l][kind][index] = loss.imag / make_probe.H.imag
        gradients.append(gradient)
    _, log_prob = make_probe.act(policy, state, noise[1], *bounds)
    return gradients, make_probe.ACTIONS - log_prob.mean()
