#!/usr/bin/env python3
"""Recomputes an update of MAGE in JAX, in double precision, and compares.

    python tests/python/check_mage.py FILE.safetensors TOLERANCE

Nothing here follows the Rust code's passes: the TD error is written down as a function of the action, its derivative by the action is
taken by autodiff, and autodiff differentiates the loss of that derivative again. Prints each tensor's relative error; exit code 0 if all are
within the tolerance, else 1.
"""

import sys

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")

import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file

DISCOUNT, ACTION_GRADIENT, ERROR = 0.99, 5.0, 1.0
LOW, HIGH = -5.0, -1.0


def perceptron(layers, x):
    for weight, bias in layers[:-1]:
        x = jax.nn.silu(x @ weight + bias)
    weight, bias = layers[-1]
    return x @ weight + bias


def huber(x):
    return jnp.where(jnp.abs(x) < 1.0, 0.5 * x**2, jnp.abs(x) - 0.5)


def main(path, tolerance):
    raw = load_file(path)
    t = {name: jnp.asarray(values, jnp.int64 if values.dtype.kind == "u" else jnp.float64) for name, values in raw.items()}

    def network(name):
        layers, l = [], 0
        while f"{name}/{l}/weight" in t:
            layers.append((t[f"{name}/{l}/weight"], t[f"{name}/{l}/bias"]))
            l += 1
        return layers

    members = []
    while network(f"model/{len(members)}"):
        members.append(network(f"model/{len(members)}"))
    stacked = [tuple(jnp.stack(parts) for parts in zip(*layer)) for layer in zip(*members)]
    policy, target_policy = network("policy"), network("target_policy")
    critics, targets = ([network(f"{name}{i}") for i in (1, 2)] for name in ("critic", "target_critic"))

    def standardise(s):
        return (s - t["agent_mean"]) / t["agent_deviation"]

    def q(layers, x, action):
        return perceptron(layers, jnp.concatenate([x, action]))[0]

    def target(action, state, member, noise, smoothing, alive):
        """r + γ·m·min Q̄(s', clamp(π̄(s') + n)) of one row, as a function of its action in [−1, 1]."""
        own = [(weight[member], bias[member]) for weight, bias in stacked]
        raw_action = t["action_scale"] * action + t["action_bias"]
        x = (jnp.concatenate([state, raw_action]) - t["input_mean"]) / t["input_deviation"]
        mean, raw_log_variance = jnp.split(perceptron(own, x), 2)
        deviation = jnp.exp(0.5 * (LOW + (HIGH - LOW) * jax.nn.sigmoid(raw_log_variance)))
        sample = mean + deviation * jnp.concatenate([jnp.zeros(1), noise])
        label = t["label_mean"] + t["label_deviation"] * sample
        following = standardise(state + label[1:])
        following_action = jnp.clip(jnp.tanh(perceptron(target_policy, following)) + smoothing, -1.0, 1.0)
        value = jnp.minimum(*(q(layers, following, following_action) for layers in targets))
        return label[0] + DISCOUNT * alive * value

    def act(layers, state):
        return jnp.tanh(perceptron(layers, standardise(state)))

    rows = (t["states"], t["members"], t["noise"], t["smoothing"], t["alive"])
    actions = jax.vmap(lambda s: act(policy, s))(t["states"])

    def critic_loss(both):
        def row(action, state, *draws):
            total = 0.0
            for layers in both:
                error = lambda action: target(action, state, *draws) - q(layers, standardise(state), action)
                norm = jnp.sqrt(jnp.sum(jax.grad(error)(action) ** 2))
                total += ACTION_GRADIENT * huber(norm) + ERROR * huber(error(action))
            return 0.5 * total

        return jnp.mean(jax.vmap(row)(actions, *rows))

    def policy_loss(layers):
        def row(state):
            return jnp.minimum(*(q(c, standardise(state), act(layers, state)) for c in critics))

        return -jnp.mean(jax.vmap(row)(t["states"]))

    loss, by_critics = jax.jit(jax.value_and_grad(critic_loss))(critics)
    policy_value, by_policy = jax.jit(jax.value_and_grad(policy_loss))(policy)
    slopes = jax.jit(jax.vmap(jax.grad(target)))(actions, *rows)
    expected = {
        "actions": actions,
        "targets": jax.vmap(target)(actions, *rows),
        "slopes": slopes,
        "critic_loss": loss[None],
        "policy_loss": policy_value[None],
    }
    for name, layers in (("critic1", by_critics[0]), ("critic2", by_critics[1]), ("policy", by_policy)):
        for l, layer in enumerate(layers):
            for kind, values in zip(("weight", "bias"), layer):
                expected[f"{name}/{l}/{kind}"] = values
    norms = np.linalg.norm(np.asarray(slopes - jax.vmap(jax.grad(lambda a, s: q(critics[0], standardise(s), a)))(actions, t["states"])), axis=1)
    if not (norms.min() < 1.0 < norms.max()):
        print(f"all rows lie on one side of the threshold: norms from {norms.min()} to {norms.max()}")
    worst = 0.0
    for name, values in expected.items():
        values, found = np.asarray(values), np.asarray(t[f"found/{name}"])
        error = np.linalg.norm(found - values) / np.linalg.norm(values)
        print(f"{name}: {error:.3e}")
        worst = max(worst, np.inf if np.isnan(error) else error)
    print(f"worst: {worst:.3e}")
    return 0 if worst <= tolerance else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2])))
