#!/usr/bin/env python3
"""Recomputes a `ddppo probe` file (docs/probe.md) in JAX, in double precision, and compares.

    python tests/python/check_probe.py FILE.safetensors [--tolerance 1e-4] [--states recomputed|recorded]

One JSON object a line and tensor on standard output, the largest relative error last.
Exit code 0: every error within the tolerance; 1: some error above it; 2: the file cannot be checked.

Nothing here follows the Rust code's way to its numbers. The policy gradient is the derivative of one scalar (eq. 11),
taken by reverse-mode autodiff through a model step whose forward half is the prediction model and whose backward half
is the gradient model; the adjoints are derivatives of the same scalar by offsets added to the states. The gradient
loss forms the full Jacobian, as eq. 9 writes it, where the Rust code runs a forward-mode product.
"""

import argparse
import json
import sys
from dataclasses import dataclass

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

LOG_STD_BOUNDS = (-20.0, 2.0)
# Guards the logarithm of the tanh correction (docs/algorithm.md, "The policy").
TANH_EPSILON = 1e-6
# A tensor whose own norm is under this share of its group's is measured against the group: R does not depend on the
# last bias at all, and a relative error against exactly zero says nothing.
NEGLIGIBLE_SHARE = 1e-6


class BadProbe(Exception):
    """The file does not hold what docs/probe.md promises."""


@dataclass
class Ensemble:
    """M networks of one shape. layers: [(weight [M, in, out], bias [M, out])]; mean, std: [S + A]."""

    layers: list
    mean: jax.Array
    std: jax.Array

    @property
    def members(self):
        return self.layers[0][0].shape[0]

    def member(self, index):
        return [(weight[index], bias[index]) for weight, bias in self.layers]


class Probe:
    """The file: tensors widened to f64, indices to integers, and the header's strings."""

    def __init__(self, path):
        try:
            with safe_open(path, framework="numpy") as file:
                self.header = file.metadata() or {}
                self.tensors = {name: file.get_tensor(name) for name in file.keys()}
        except (OSError, SafetensorError) as error:
            raise BadProbe(f"not a readable safetensors file: {error}") from error

    def number(self, key):
        if key not in self.header:
            raise BadProbe(f"the header lacks '{key}'")
        return float(self.header[key])

    def numpy(self, name, shape=None):
        """The tensor as numpy f64 (or integers); `shape` names the expected extents, None standing for any."""
        if name not in self.tensors:
            raise BadProbe(f"the file lacks the tensor '{name}'")
        tensor = self.tensors[name]
        if shape is not None:
            fits = len(tensor.shape) == len(shape) and all(w is None or w == h for w, h in zip(shape, tensor.shape))
            if not fits:
                raise BadProbe(f"'{name}' has shape {list(tensor.shape)}, expected {list(shape)} (None: any)")
        return tensor if np.issubdtype(tensor.dtype, np.integer) else tensor.astype(np.float64)

    def array(self, name, shape=None):
        return jnp.asarray(self.numpy(name, shape))

    def network(self, prefix):
        """[(weight [in, out], bias [out])] of `{prefix}/{l}/weight`, l = 0, 1, …"""
        layers = []
        while f"{prefix}/{len(layers)}/weight" in self.tensors:
            name = f"{prefix}/{len(layers)}"
            weight = self.array(f"{name}/weight", (None, None))
            layers.append((weight, self.array(f"{name}/bias", (weight.shape[1],))))
        if not layers:
            raise BadProbe(f"the file lacks the network '{prefix}/0/weight', …")
        return layers

    def ensemble(self, prefix):
        members = []
        while f"{prefix}/{len(members)}/0/weight" in self.tensors:
            members.append(self.network(f"{prefix}/{len(members)}"))
        if not members:
            raise BadProbe(f"the file lacks the ensemble '{prefix}/0/0/weight', …")
        layers = [(jnp.stack([w for w, _ in same]), jnp.stack([b for _, b in same])) for same in zip(*members)]
        inputs = layers[0][0].shape[1]
        mean, std = (self.array(f"{prefix}/input_{moment}", (inputs,)) for moment in ("mean", "std"))
        return Ensemble(layers, mean, std)


def perceptron(layers, x, activation, norms=()):
    """x [.., in] through linear maps with `activation` between them and, where `norms` has its epsilons, layer normalisation after it."""
    for layer, (weight, bias) in enumerate(layers[:-1]):
        x = activation(x @ weight + bias)
        if norms:
            x = (x - jnp.mean(x, axis=-1, keepdims=True)) / jnp.sqrt(jnp.var(x, axis=-1, keepdims=True) + norms[layer])
    weight, bias = layers[-1]
    return x @ weight + bias


def model_heads(layers, mean, std, inputs, bounds):
    """One member at raw `inputs` [.., S + A]: mean and soft-bounded log-variance of (r, Δs), each [.., 1 + S]."""
    output = perceptron(layers, (inputs - mean) / std, jax.nn.silu)
    head, log_variance = jnp.split(output, 2, axis=-1)
    low, high = bounds
    log_variance = high - jax.nn.softplus(high - log_variance)
    return head, low + jax.nn.softplus(log_variance - low)


def elite_heads(model, state, action, elites, bounds):
    """`model_heads` where row b is answered by member elites[b]: all members are run and one is picked."""
    inputs = jnp.concatenate([state, action], axis=-1)
    heads = [model_heads(model.member(k), model.mean, model.std, inputs, bounds) for k in range(model.members)]
    rows = jnp.arange(state.shape[0])
    return tuple(jnp.stack(outputs)[elites, rows] for outputs in zip(*heads))


def model_step(prediction, derivative, bounds, through_noise):
    """The step of eq. 11: values from `prediction`, sampled; derivatives from `derivative`'s mean head, or from its sampled
    step where they go `through_noise`.

    Returns step(state, action, noise, prediction_elites, gradient_elites, recorded) -> (reward, next state). Where
    `recorded` is not None it is the next state's value; its derivative is the same.
    """

    def smooth_step(state, action, noise, elites):
        head, log_variance = elite_heads(derivative, state, action, elites, bounds)
        if through_noise:
            head = head + jnp.exp(0.5 * log_variance) * noise
        return head[:, 0], state + head[:, 1:]

    @jax.custom_vjp
    def step(state, action, noise, prediction_elites, gradient_elites, recorded):
        reward, _ = smooth_step(state, action, noise, gradient_elites)
        head, log_variance = elite_heads(prediction, state, action, prediction_elites, bounds)
        sample = head + jnp.exp(0.5 * log_variance) * noise
        return reward, (state + sample[:, 1:] if recorded is None else recorded)

    def forward(state, action, noise, prediction_elites, gradient_elites, recorded):
        values = step(state, action, noise, prediction_elites, gradient_elites, recorded)
        return values, (state, action, noise, gradient_elites)

    def backward(residuals, cotangents):
        state, action, noise, elites = residuals
        _, pullback = jax.vjp(lambda s, a: smooth_step(s, a, noise, elites), state, action)
        return (*pullback(cotangents), None, None, None, None)

    step.defvjp(forward, backward)
    return step


def act(policy, state, noise, scale, bias, offset):
    """a = scale·tanh(μ + σ η) + bias, and log π(a|s) in environment units plus `offset`; [B, A] and [B]."""
    mean, log_std = jnp.split(perceptron(policy, state, jax.nn.relu), 2, axis=-1)
    std = jnp.exp(jnp.clip(log_std, *LOG_STD_BOUNDS))
    u = mean + std * noise
    density = jax.scipy.stats.norm.logpdf(u, mean, std)
    correction = jnp.log(scale * (1.0 - jnp.tanh(u) ** 2) + TANH_EPSILON)
    return scale * jnp.tanh(u) + bias, offset + jnp.sum(density - correction, axis=-1)


def recompute_policy_update(probe, states_from):
    """{name: reference} for everything `policy_update/…` reports."""
    bounds = (probe.number("min_log_variance"), probe.number("max_log_variance"))
    discount, alpha, horizon = probe.number("discount"), probe.number("alpha"), int(probe.number("horizon"))
    source = probe.header.get("gradient_source")
    known = ("gradient_model", "prediction_model", "sampled_step")
    if source not in known:
        raise BadProbe(f"the header's gradient_source is '{source}', not one of {', '.join(known)}")
    through_noise = source == "sampled_step"
    prediction = probe.ensemble("prediction_model")
    derivative = prediction if through_noise else probe.ensemble(source)
    step = model_step(prediction, derivative, bounds, through_noise)
    policy, critics = probe.network("policy"), [probe.network(f"critic{i}") for i in (1, 2)]
    scale, bias = probe.array("action_scale"), probe.array("action_bias")
    # Probes from before this key are in environment units.
    offset = float(probe.header.get("log_prob_offset", 0.0))

    start = probe.array("policy_update/start_states", (None, policy[0][0].shape[0]))
    rows, size = start.shape
    action_noise = probe.array("policy_update/action_noise", (horizon + 1, rows, scale.shape[0]))
    model_noise = probe.array("policy_update/model_noise", (horizon, rows, 1 + size))
    prediction_elites = probe.array("policy_update/prediction_elites", (horizon, rows))
    gradient_elites = probe.array("policy_update/gradient_elites", (horizon, rows))
    alive = probe.array("policy_update/alive", (horizon + 1, rows))
    recorded = probe.array("policy_update/states", (horizon + 1, rows, size))

    def objective(policy, offsets):
        """(1/B) Σ_rows Σ_j γ^j m_j c_j. `offsets` [K + 1, B, S] are zeros; their derivatives are the adjoints."""
        state, total, seen = start, 0.0, []
        for j in range(horizon):
            state = state + offsets[j]
            action, log_prob = act(policy, state, action_noise[j], scale, bias, offset)
            given = recorded[j + 1] if states_from == "recorded" else None
            reward, following = step(state, action, model_noise[j], prediction_elites[j], gradient_elites[j], given)
            total += discount**j * jnp.mean(alive[j] * (alpha * log_prob - reward))
            seen.append((state, action, log_prob, reward))
            state = following
        state = state + offsets[horizon]
        action, log_prob = act(policy, state, action_noise[horizon], scale, bias, offset)
        inputs = jnp.concatenate([state, action], axis=-1)
        value = jnp.minimum(*(perceptron(critic, inputs, jax.nn.relu)[:, 0] for critic in critics))
        total += discount**horizon * jnp.mean(alive[horizon] * (alpha * log_prob - value))
        seen.append((state, action, log_prob, value))
        return total, [jnp.stack(column) for column in zip(*seen)]

    derivatives = jax.jit(jax.grad(objective, argnums=(0, 1), has_aux=True))
    (gradient, by_state), (states, actions, log_probs, rewards) = derivatives(policy, jnp.zeros_like(recorded))

    # The objective is a mean over rows and discounted from step 0; λ_j is one row's and discounted from step j.
    adjoints = rows * by_state / discount ** jnp.arange(horizon + 1)[:, None, None]
    reference = {
        "policy_update/states": states,
        "policy_update/actions": actions,
        "policy_update/log_probs": log_probs,
        "policy_update/adjoints": adjoints.at[0].set(0.0),
    }
    if "policy_update/rewards" in probe.tensors:
        reference["policy_update/rewards"] = rewards[:horizon]
    return reference | named("policy_update/gradient", gradient)


def recompute_gradient_step(probe):
    """{name: reference} for everything `gradient_step/…` reports."""
    bounds = (probe.number("min_log_variance"), probe.number("max_log_variance"))
    model = probe.ensemble("gradient_model")
    members, width = model.members, model.mean.shape[0]
    outputs = model.layers[-1][0].shape[-1] // 2
    inputs = probe.array("gradient_step/inputs", (members, None, width))
    targets = probe.array("gradient_step/targets", (*inputs.shape[:2], outputs))
    window = probe.array("gradient_step/window_inputs", (members, None, width))
    directions = probe.array("gradient_step/directions", (*window.shape[:2], None, width))
    differences = probe.array("gradient_step/differences", (*directions.shape[:3], outputs))

    def likelihood_loss(layers, x, y):
        head, log_variance = model_heads(layers, model.mean, model.std, x, bounds)
        return jnp.mean((head - y) ** 2 * jnp.exp(-log_variance) + log_variance)

    def next_values(layers, x):
        """One row's mean of (r, s') at raw x = (s, a): s' = s + Δs."""
        head, _ = model_heads(layers, model.mean, model.std, x, bounds)
        return head.at[1:].add(x[: outputs - 1])

    def gradient_loss(layers, x, v, dy):
        """One member's part of eq. 9, over rows, directions and output dimensions; J is formed whole."""
        jacobian = jax.vmap(jax.jacrev(next_values, argnums=1), (None, 0))(layers, x)
        return jnp.mean((jnp.einsum("boi,bmi->bmo", jacobian, v) - dy) ** 2) / members

    likelihood = jax.jit(jax.value_and_grad(likelihood_loss))
    projection = jax.jit(jax.value_and_grad(gradient_loss))
    nll, r, reference = [], 0.0, {}
    for k in range(members):
        layers = model.member(k)
        value, gradient = likelihood(layers, inputs[k], targets[k])
        nll.append(value)
        reference |= named(f"gradient_step/nll_gradient/{k}", gradient)
        value, gradient = projection(layers, window[k], directions[k], differences[k])
        r += value
        reference |= named(f"gradient_step/r_gradient/{k}", gradient)
    return {"gradient_step/nll": jnp.stack(nll), "gradient_step/r": r} | reference


def recompute(probe, states_from):
    """{name: reference} for every result in the file."""
    return recompute_policy_update(probe, states_from) | recompute_gradient_step(probe)


def named(prefix, layers):
    """{`prefix/l/weight`: …, `prefix/l/bias`: …}"""
    return {
        f"{prefix}/{l}/{kind}": tensor
        for l, layer in enumerate(layers)
        for kind, tensor in zip(("weight", "bias"), layer)
    }


def group_of(name):
    """The gradient a tensor belongs to: all layers and members of one loss; other tensors stand alone."""
    parts = name.split("/")
    return "/".join(parts[:2])


def compare(probe, reference):
    """[(name, relative error ‖ours − jax‖/‖jax‖, ‖jax‖)], tensor by tensor, then each gradient as a whole."""
    ours = {}
    for name, expected in reference.items():
        expected = np.asarray(expected)
        # A scalar may be stored as [] or [1].
        tensor = probe.numpy(name)
        if tensor.size != expected.size or (expected.ndim and tensor.shape != expected.shape):
            raise BadProbe(f"'{name}' has shape {list(tensor.shape)}, expected {list(expected.shape)}")
        ours[name] = tensor.reshape(expected.shape).copy()
    if "policy_update/adjoints" in ours:
        ours["policy_update/adjoints"][0] = 0.0  # λ_0 is not needed by the update.

    squares = {}
    for name, expected in reference.items():
        error, norm = squares.get(group_of(name), (0.0, 0.0))
        squares[group_of(name)] = (
            error + float(np.sum((ours[name] - np.asarray(expected)) ** 2)),
            norm + float(np.sum(np.asarray(expected) ** 2)),
        )

    def relative(error, norm):
        return 0.0 if error == 0.0 else (error / norm if norm > 0.0 else float("inf"))

    lines = []
    for name, expected in reference.items():
        error = float(np.linalg.norm(ours[name] - np.asarray(expected)))
        norm = float(np.linalg.norm(np.asarray(expected)))
        floor = NEGLIGIBLE_SHARE * squares[group_of(name)][1] ** 0.5
        lines.append((name, relative(error, max(norm, floor)), norm))
    wholes = [group for group in squares if group not in reference]
    for group in wholes:
        error, norm = (square**0.5 for square in squares[group])
        lines.append((group, relative(error, norm), norm))
    return lines


def finite(error):
    """JSON knows no infinity and no NaN."""
    return error if np.isfinite(error) else None


def main(arguments=None, recompute=recompute):
    parser = argparse.ArgumentParser(description="Recompute a `ddppo probe` file in JAX and compare (docs/probe.md).")
    parser.add_argument("file", help="what `ddppo probe` wrote")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="largest relative error allowed (default 1e-4)")
    parser.add_argument(
        "--states",
        choices=("recomputed", "recorded"),
        default="recomputed",
        help="states at which the derivatives are taken: the script's own (default), or the file's",
    )
    options = parser.parse_args(arguments)
    try:
        probe = Probe(options.file)
        lines = compare(probe, recompute(probe, options.states))
    except BadProbe as error:
        print(f"{options.file}: {error}", file=sys.stderr)
        return 2
    for name, error, norm in lines:
        print(json.dumps({"name": name, "relative_error": finite(error), "norm": norm}))
    # A NaN compares as neither larger nor smaller: it counts as the worst.
    worst, error, _ = max(lines, key=lambda line: float("inf") if np.isnan(line[1]) else line[1])
    print(json.dumps({"maximum": finite(error), "at": worst, "tolerance": options.tolerance}))
    return 0 if error <= options.tolerance else 1


if __name__ == "__main__":
    sys.exit(main())
