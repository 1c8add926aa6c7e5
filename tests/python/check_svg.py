#!/usr/bin/env python3
"""Recomputes an update of SVG that tests/svg_jax.rs wrote in JAX, in double precision, and compares.

    python tests/python/check_svg.py FILE.safetensors --tolerance 1e-8

One JSON object a line and tensor on standard output. Exit code 0: every relative error within the tolerance; 1: some above it.

The policy's gradient is that of one scalar, w·(Σ γʲ·r_j + γᴸ·(1 − d)·V(s_L)) − β·KL(π‖π_old) with inferred noise, weights and π_old held,
rolled forward from the recorded start state; V's is that of ½·w·(V(s) − y)².
"""

import argparse
import json
import sys

import check_probe  # sets JAX to double precision
import jax
import jax.numpy as jnp
from check_probe import LOG_STD_BOUNDS, Probe, elite_heads, perceptron


def heads(network, state):
    mean, log_std = jnp.split(perceptron(network, state, jax.nn.relu), 2, axis=-1)
    return mean, jnp.clip(log_std, *LOG_STD_BOUNDS)


def recompute(probe):
    """{name: reference}, in the file's names."""
    discount, beta, cap = (probe.number(key) for key in ("discount", "divergence_weight", "importance_cap"))
    bounds = (probe.number("min_log_variance"), probe.number("max_log_variance"))
    policy, old = probe.network("policy"), probe.network("old_policy")
    value, target = probe.network("value"), probe.network("target_value")
    model = probe.ensemble("prediction_model")
    scale, bias = probe.array("action_scale"), probe.array("action_bias")
    states, squashed = probe.array("states"), probe.array("pre_squash")
    actions, labels = probe.array("actions"), probe.array("labels")
    drawn, elites = probe.array("drawn_densities"), probe.numpy("elites")
    lengths, alive = probe.numpy("lengths"), probe.array("alive")
    horizon, rows = drawn.shape

    # Inferred, and held from here on.
    noise, model_noise, ratios = [], [], []
    for j in range(horizon):
        mean, log_std = heads(policy, states[j])
        noise.append((squashed[j] - mean) / jnp.exp(log_std))
        density = jax.scipy.stats.norm.logpdf(squashed[j], mean, jnp.exp(log_std)).sum(-1)
        ratios.append(jnp.where(j < lengths, density - drawn[j], 0.0))
        head, log_variance = elite_heads(model, states[j], actions[j], elites[j], bounds)
        model_noise.append((labels[j] - head) / jnp.exp(0.5 * log_variance))
    first_weights = jnp.minimum(jnp.exp(ratios[0]), cap)
    weights = jnp.minimum(jnp.exp(sum(ratios)), cap)

    def loss(network):
        state, total = states[0], jnp.zeros(rows)
        for j in range(horizon):
            mean, log_std = heads(network, state)
            action = scale * jnp.tanh(mean + jnp.exp(log_std) * noise[j]) + bias
            head, log_variance = elite_heads(model, state, action, elites[j], bounds)
            outcome = head + jnp.exp(0.5 * log_variance) * model_noise[j]
            lives = j < lengths
            total = total + jnp.where(lives, discount**j * outcome[:, 0], 0.0)
            state = jnp.where(lives[:, None], state + outcome[:, 1:], state)
        total = total + discount**lengths * alive * perceptron(value, state, jax.nn.relu)[:, 0]
        mean, log_std = heads(network, states[0])
        before, log_before = heads(old, states[0])
        ratio = ((mean - before) ** 2 + jnp.exp(2 * log_std)) / (2 * jnp.exp(2 * log_before))
        divergence = (ratio - 0.5 + log_before - log_std).sum(-1)
        return jnp.mean(beta * divergence - weights * total)

    rewards, nexts = labels[0][:, 0], states[0] + labels[0][:, 1:]
    ends = probe.array("terminated")
    y = rewards + discount * (1.0 - ends) * perceptron(target, nexts, jax.nn.relu)[:, 0]

    def value_loss(network):
        return jnp.mean(0.5 * first_weights * (perceptron(network, states[0], jax.nn.relu)[:, 0] - y) ** 2)

    references = {"loss": loss(policy).reshape(1), "weights": weights, "value_loss": value_loss(value).reshape(1)}
    for name, function, network in (("gradient", loss, policy), ("value_gradient", value_loss, value)):
        for layer, (weight, of_bias) in enumerate(jax.grad(function)(network)):
            references[f"{name}/{layer}/weight"] = weight
            references[f"{name}/{layer}/bias"] = of_bias
    return references


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--tolerance", type=float, required=True)
    options = parser.parse_args()
    probe, worst = Probe(options.file), 0.0
    for name, reference in recompute(probe).items():
        error = float(jnp.linalg.norm(probe.array(name) - reference) / jnp.linalg.norm(reference))
        print(json.dumps({"name": name, "relative_error": error}))
        worst = max(worst, error) if error == error else float("inf")
    return 0 if worst <= options.tolerance else 1


if __name__ == "__main__":
    sys.exit(main())
