#!/usr/bin/env python3
"""Recomputes what `ddppo probe` wrote of a run of ddppo-plus (docs/probe.md) in JAX, in double precision, and compares.

    python tests/python/check_plus.py FILE.safetensors [--tolerance 1e-4] [--states recomputed|recorded]

Output and exit code as check_probe.py's.

Nothing here follows the Rust code's way to its numbers. All is raw here: states, actions and rewards are in the task's units, and each network
is a function of raw numbers, where the Rust code carries standardised states along the path. The policy's gradient is that of one scalar,
taken by reverse-mode autodiff through a step whose forward half is the prediction model's and whose backward half is that of the mean of the
members drawn; the critics' and the models' are those of their losses.
"""

import sys

import check_probe  # sets JAX to double precision
import jax
import jax.numpy as jnp
from check_probe import BadProbe, named, perceptron

LEAST_SIGMA = 1e-5
TANH_EPSILON = 1e-6


def epsilons(probe, of):
    """Of the layer normalisations; none where there are none."""
    return tuple(float(word) for word in probe.header.get(f"{of}_norms", "").split())


class Model:
    """M networks of one shape: raw (s, a) to the mean of raw (r, Δs), and the deviation of the noise about it."""

    def __init__(self, probe, name):
        self.ensemble = probe.ensemble(name)
        outputs = self.ensemble.layers[-1][0].shape[-1]
        self.label_mean, self.label_std = (probe.array(f"{name}/label_{m}", (outputs,)) for m in ("mean", "std"))
        self.norms = epsilons(probe, "model")
        members = range(self.ensemble.members)
        self.log_sigma = jnp.stack([probe.array(f"{name}/{m}/log_sigma", (outputs,)) for m in members])

    def mean(self, member, x):
        layers = self.ensemble.member(member)
        standardised = perceptron(layers, (x - self.ensemble.mean) / self.ensemble.std, jax.nn.silu, self.norms)
        return self.label_mean + self.label_std * standardised

    def means(self, x, members):
        """Row b by member members[b]: all are run and one is picked."""
        every = jnp.stack([self.mean(m, x) for m in range(self.ensemble.members)])
        return every[members, jnp.arange(x.shape[0])]


def model_step(prediction, derivative):
    """step(s, a, noise, members, derivative_members, recorded) -> (r, s'), all raw: values of `prediction`, derivatives those of the mean over
    the members drawn of `derivative`'s means."""

    def smooth(state, action, drawn):
        x = jnp.concatenate([state, action], axis=-1)
        mean = sum(derivative.means(x, members) for members in drawn) / drawn.shape[0]
        return mean[:, 0], state + mean[:, 1:]

    @jax.custom_vjp
    def step(state, action, noise, members, drawn, recorded):
        x = jnp.concatenate([state, action], axis=-1)
        mean = prediction.means(x, members)
        sigma = prediction.label_std * jnp.exp(prediction.log_sigma[members])
        following = state + mean[:, 1:] + sigma[:, 1:] * noise
        return mean[:, 0], (following if recorded is None else recorded)

    def forward(state, action, noise, members, drawn, recorded):
        return step(state, action, noise, members, drawn, recorded), (state, action, drawn)

    def backward(residuals, cotangents):
        state, action, drawn = residuals
        _, pullback = jax.vjp(lambda s, a: smooth(s, a, drawn), state, action)
        return (*pullback(cotangents), None, None, None, None)

    step.defvjp(forward, backward)
    return step


def recompute_update(probe, states_from):
    """{name: reference} for everything `update/…` reports."""
    discount, alpha, offset = (probe.number(key) for key in ("discount", "alpha", "log_prob_offset"))
    centre, half_width = probe.number("value_centre"), probe.number("value_half_width")
    horizon, drawn_each = int(probe.number("horizon")), int(probe.number("derivative_members"))
    prediction = Model(probe, "prediction_model")
    source = probe.header.get("gradient_source")
    if source not in ("gradient", "prediction"):
        raise BadProbe(f"the header's gradient_source is '{source}', neither gradient nor prediction")
    derivative = Model(probe, f"{source}_model")
    step = model_step(prediction, derivative)
    policy, scale, bias = probe.network("policy"), probe.array("action_scale"), probe.array("action_bias")
    critics, targets = [], []
    while f"critic/{len(critics)}/0/weight" in probe.tensors:
        critics.append(probe.network(f"critic/{len(critics)}"))
        targets.append(probe.network(f"target_critic/{len(targets)}"))
    size, actions = policy[0][0].shape[0], scale.shape[0]
    mean, std = prediction.ensemble.mean[:size], prediction.ensemble.std[:size]

    start = probe.array("update/start_states", (None, size))
    rows = start.shape[0]
    action_noise = probe.array("update/action_noise", (horizon + 1, rows, actions))
    model_noise = probe.array("update/model_noise", (horizon, rows, size))
    members = probe.array("update/members", (horizon, rows))
    drawn = probe.array("update/derivative_members", (horizon, drawn_each, rows))
    alive = probe.array("update/alive", (horizon + 1, rows))
    recorded = probe.array("update/states", (horizon + 1, rows, size)) * std + mean
    pair = probe.numpy("update/pair", (2,))

    def act(network, state, noise):
        head, z = jnp.split(perceptron(network, (state - mean) / std, jax.nn.silu), 2, axis=-1)
        sigma = jax.nn.softplus(z) + LEAST_SIGMA
        u = head + sigma * noise
        density = jax.scipy.stats.norm.logpdf(u, head, sigma)
        correction = jnp.log(scale * (1.0 - jnp.tanh(u) ** 2) + TANH_EPSILON)
        return scale * jnp.tanh(u) + bias, offset + jnp.sum(density - correction, axis=-1)

    def value(network, state, action):
        x = jnp.concatenate([(state - mean) / std, (action - bias) / scale], axis=-1)
        return centre + half_width * perceptron(network, x, jax.nn.silu, epsilons(probe, "critic"))[:, 0]

    def path(network):
        """States, actions, log-densities at 0..=H and rewards of the H steps."""
        state, seen, rewards = start * std + mean, [], []
        for j in range(horizon + 1):
            action, log_prob = act(network, state, action_noise[j])
            seen.append((state, action, log_prob))
            if j < horizon:
                given = recorded[j + 1] if states_from == "recorded" else None
                reward, state = step(state, action, model_noise[j], members[j], drawn[j], given)
                rewards.append(reward)
        return (*[list(column) for column in zip(*seen)], rewards)

    def policy_loss(network):
        states, acted, log_probs, rewards = path(network)
        total = 0.0
        for j in range(horizon):
            total += discount**j * alive[j] * (rewards[j] - alpha * log_probs[j])
        last = sum(value(q, states[horizon], acted[horizon]) for q in critics) / len(critics)
        total += discount**horizon * alive[horizon] * (last - alpha * log_probs[horizon])
        return -jnp.mean(total)

    states, acted, log_probs, rewards = path(policy)
    y = sum(discount**j * alive[j] * rewards[j] for j in range(horizon))
    y -= sum(discount**j * alive[j] * alpha * log_probs[j] for j in range(1, horizon))
    last = jnp.minimum(*(value(targets[q], states[horizon], acted[horizon]) for q in pair))
    y += discount**horizon * alive[horizon] * (last - alpha * log_probs[horizon])
    y = jnp.clip(y, centre - half_width, centre + half_width)

    def critic_loss(network):
        return jnp.mean(((value(network, states[0], acted[0]) - y) / half_width) ** 2)

    loss, gradient = jax.jit(jax.value_and_grad(policy_loss))(policy)
    reference = {
        "update/states": (jnp.stack(states) - mean) / std,
        "update/actions": jnp.stack(acted),
        "update/log_probs": jnp.stack(log_probs),
        "update/rewards": jnp.stack(rewards),
        "update/targets": y,
        "update/policy_loss": loss,
        "update/critic_loss": sum(critic_loss(q) for q in critics),
    }
    for q, network in enumerate(critics):
        reference |= named(f"update/critic_gradient/{q}", jax.grad(critic_loss)(network))
    return reference | named("update/policy_gradient", gradient)


def recompute_model_step(probe):
    """{name: reference} for everything `model_step/…` reports."""
    name = f"{probe.header['gradient_source']}_model"
    model, weight = Model(probe, name), probe.number("secant_weight")
    least_square = probe.number("secant_least_square")
    members, width = model.ensemble.members, model.ensemble.mean.shape[0]
    outputs = model.label_mean.shape[0]
    inputs = probe.array("model_step/inputs", (members, None, width))
    labels = probe.array("model_step/labels", (*inputs.shape[:2], outputs))
    row_weights = probe.array("model_step/row_weights", inputs.shape[:2])
    rho = probe.array("model_step/output_weights", (outputs,))
    with_secants = "model_step/far_inputs" in probe.tensors
    if with_secants:
        far_inputs = probe.array("model_step/far_inputs", (*inputs.shape[:2], None, width))
        far_labels = probe.array("model_step/far_labels", (*far_inputs.shape[:3], outputs))

    def mean(layers, x):
        """Raw."""
        standardised = perceptron(layers, (x - model.ensemble.mean) / model.ensemble.std, jax.nn.silu, model.norms)
        return model.label_mean + model.label_std * standardised

    def losses(parameters, m):
        layers, log_sigma = parameters
        error = (mean(layers, inputs[m]) - labels[m]) / model.label_std
        rows = jnp.mean(0.5 * error**2 * jnp.exp(-2.0 * log_sigma) + log_sigma, axis=-1)
        nll, secants = jnp.mean(row_weights[m] * rows), 0.0
        if with_secants:
            secant = far_inputs[m] - inputs[m][:, None]
            square = jnp.sum((secant / model.ensemble.std) ** 2, axis=-1) + least_square
            change = mean(layers, far_inputs[m]) - mean(layers, inputs[m])[:, None]
            residual = (change - (far_labels[m] - labels[m][:, None])) / model.label_std
            secants = jnp.mean(rho * residual**2 / square[..., None])
        return nll + weight * secants, (nll, secants)

    gradient_of, reference, reports = jax.jit(jax.grad(losses, has_aux=True), static_argnums=1), {}, []
    for m in range(members):
        parameters = (model.ensemble.member(m), model.log_sigma[m])
        (layers, by_log_sigma), report = gradient_of(parameters, m)
        reference |= named(f"model_step/gradient/{m}", layers)
        reference[f"model_step/gradient/{m}/log_sigma"] = by_log_sigma
        reports.append(report)
    nll, secants = (jnp.stack([jnp.asarray(x) for x in column]) for column in zip(*reports))
    return {"model_step/nll": nll, "model_step/secant_loss": secants} | reference


def recompute(probe, states_from):
    """{name: reference} for every result in the file."""
    if probe.header.get("algorithm") != "ddppo-plus":
        raise BadProbe("this is no probe of a run of ddppo-plus: check_probe.py checks those of ddppo")
    return recompute_update(probe, states_from) | recompute_model_step(probe)


if __name__ == "__main__":
    sys.exit(check_probe.main(recompute=recompute))
