#!/usr/bin/env python3
"""Writes a small probe file (docs/probe.md) without any autodiff, to show that check_probe.py tells right from wrong.

    python tests/python/make_probe.py -o FILE.safetensors

Networks of a few units with random weights, written in numpy alone and sharing no code with check_probe.py. Every
derivative is a complex step, f'(x) = Im f(x + ih)/h with h = 1e-30, exact to rounding, one coordinate at a time: the
policy gradient by the recursion for λ as docs/algorithm.md, "The policy's gradient" has it, J·v as the derivative along v, and the parameter
gradient of R by central differences of R.
"""

import argparse

import numpy as np
from safetensors.numpy import save_file

H = 1e-30j
CENTRAL_STEP = 1e-5
STATES, ACTIONS, HORIZON, MEMBERS, ROWS, WINDOW_ROWS, DIRECTIONS = 3, 2, 3, 3, 5, 4, 2
DISCOUNT, ALPHA, LOW, HIGH = 0.9, 0.3, -10.0, 0.5


def relu(x):
    return np.where(x.real > 0, x, 0)


def silu(x):
    return x / (1 + np.exp(-x))


def softplus(x):
    return np.log(1 + np.exp(x))


def forward(layers, x, activation):
    for weight, bias in layers[:-1]:
        x = activation(x @ weight + bias)
    return x @ layers[-1][0] + layers[-1][1]


def random_network(rng, sizes):
    return [(rng.normal(size=(i, o)) / np.sqrt(i), 0.1 * rng.normal(size=o)) for i, o in zip(sizes, sizes[1:])]


class Model:
    """An ensemble: `members` lists of (weight, bias), and its standardiser."""

    def __init__(self, rng):
        width = STATES + ACTIONS
        self.members = [random_network(rng, [width, 6, 5, 2 * (1 + STATES)]) for _ in range(MEMBERS)]
        self.mean, self.std = rng.normal(size=width), rng.uniform(0.5, 2.0, size=width)

    def heads(self, layers, x):
        out = forward(layers, (x - self.mean) / self.std, silu)
        mean, raw = out[..., : 1 + STATES], out[..., 1 + STATES :]
        return mean, LOW + softplus(HIGH - softplus(HIGH - raw) - LOW)

    def rows(self, state, action, elites):
        x = np.concatenate([state, action], axis=1)
        pairs = [self.heads(self.members[e], row) for e, row in zip(elites, x)]
        return np.array([m for m, _ in pairs]), np.array([v for _, v in pairs])

    def next_values(self, layers, x):
        """Mean of (r, s') at raw x."""
        mean, _ = self.heads(layers, x)
        return np.concatenate([mean[..., :1], mean[..., 1:] + x[..., :STATES]], axis=-1)


def act(policy, state, noise, scale, bias):
    out = forward(policy, state, relu)
    mean, raw = out[:, :ACTIONS], out[:, ACTIONS:]
    log_std = np.where(raw.real < -20, -20, np.where(raw.real > 2, 2, raw))
    u = mean + np.exp(log_std) * noise
    # (u − μ)/σ is the noise itself.
    log_prob = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi)
    log_prob = log_prob - np.log(scale * (1 - np.tanh(u) ** 2) + 1e-6)
    return scale * np.tanh(u) + bias, log_prob.sum(axis=1)


def perturbed(layers, l, kind, index, amount):
    """`layers` with one entry moved by `amount`."""
    moved = [[tensor.astype(type(amount)) for tensor in layer] for layer in layers]
    moved[l][kind][index] += amount
    return moved


def coordinates(layers):
    for l, layer in enumerate(layers):
        for kind, tensor in enumerate(layer):
            for index in np.ndindex(tensor.shape):
                yield l, kind, index


def zeros_like(layers):
    return [(np.zeros_like(weight), np.zeros_like(bias)) for weight, bias in layers]


def store(out, prefix, layers):
    for l, (weight, bias) in enumerate(layers):
        out[f"{prefix}/{l}/weight"], out[f"{prefix}/{l}/bias"] = weight, bias


def policy_update(rng, out, policy, critics, prediction, gradient_model, source):
    """docs/algorithm.md, "The policy's gradient", forward and backward, one coordinate at a time."""
    derivative = gradient_model if source == "gradient_model" else prediction
    scale, bias = out["action_scale"], out["action_bias"]
    start = rng.normal(size=(ROWS, STATES))
    noise = rng.normal(size=(HORIZON + 1, ROWS, ACTIONS))
    model_noise = rng.normal(size=(HORIZON, ROWS, 1 + STATES))
    prediction_elites = rng.integers(MEMBERS, size=(HORIZON, ROWS)).astype(np.uint32)
    gradient_elites = rng.integers(MEMBERS, size=(HORIZON, ROWS)).astype(np.uint32)
    # Row 1 ends on its first step, row 2 on its third.
    alive = np.ones((HORIZON + 1, ROWS))
    alive[1:, 1] = 0
    alive[3:, 2] = 0

    def cost_and_next(policy, j, state):
        """c_j and the derivative model's s', each row by itself, with the action a function of policy and state."""
        action, log_prob = act(policy, state, noise[j], scale, bias)
        if j == HORIZON:
            x = np.concatenate([state, action], axis=1)
            first, second = (forward(critic, x, relu)[:, 0] for critic in critics)
            return ALPHA * log_prob - np.where(first.real < second.real, first, second), None
        mean, _ = derivative.rows(state, action, gradient_elites[j])
        return ALPHA * log_prob - mean[:, 0], state + mean[:, 1:]

    states, actions, log_probs, rewards = [start], [], [], []
    for j in range(HORIZON + 1):
        action, log_prob = act(policy, states[j], noise[j], scale, bias)
        actions.append(action)
        log_probs.append(log_prob)
        if j < HORIZON:
            rewards.append(derivative.rows(states[j], action, gradient_elites[j])[0][:, 0])
            mean, log_variance = prediction.rows(states[j], action, prediction_elites[j])
            states.append(states[j] + (mean + np.exp(log_variance / 2) * model_noise[j])[:, 1:])

    adjoints = np.zeros((HORIZON + 2, ROWS, STATES))
    for j in range(HORIZON, 0, -1):
        for k in range(STATES):
            cost, following = cost_and_next(policy, j, states[j] + H * np.eye(STATES)[k])
            adjoints[j, :, k] = cost.imag / H.imag
            if j < HORIZON:
                adjoints[j, :, k] += DISCOUNT * (adjoints[j + 1] * following.imag / H.imag).sum(axis=1)
        adjoints[j] *= alive[j][:, None]

    gradient = zeros_like(policy)
    for l, kind, index in coordinates(policy):
        moved = perturbed(policy, l, kind, index, H)
        for j in range(HORIZON + 1):
            cost, following = cost_and_next(moved, j, states[j])
            share = DISCOUNT**j * alive[j] * cost.imag / H.imag
            if j < HORIZON:
                pulled = (adjoints[j + 1] * following.imag / H.imag).sum(axis=1)
                share += DISCOUNT ** (j + 1) * alive[j] * pulled
            gradient[l][kind][index] += share.mean()

    columns = dict(start_states=start, action_noise=noise, model_noise=model_noise, alive=alive, states=states)
    columns |= dict(actions=actions, log_probs=log_probs, rewards=rewards, adjoints=adjoints[:-1])
    columns |= dict(prediction_elites=prediction_elites, gradient_elites=gradient_elites)
    out.update({f"policy_update/{name}": np.array(value) for name, value in columns.items()})
    store(out, "policy_update/gradient", gradient)


def gradient_step(rng, out, model):
    """docs/algorithm.md, "The likelihood" and "The gradient loss": the likelihood loss and R of each member, and their gradients."""
    inputs = rng.normal(size=(MEMBERS, ROWS, STATES + ACTIONS))
    targets = rng.normal(size=(MEMBERS, ROWS, 1 + STATES))
    window = rng.normal(size=(MEMBERS, WINDOW_ROWS, STATES + ACTIONS))
    directions = 0.3 * rng.normal(size=(MEMBERS, WINDOW_ROWS, DIRECTIONS, STATES + ACTIONS))
    differences = 0.3 * rng.normal(size=(MEMBERS, WINDOW_ROWS, DIRECTIONS, 1 + STATES))

    def likelihood_loss(layers, k):
        mean, log_variance = model.heads(layers, inputs[k])
        return ((mean - targets[k]) ** 2 * np.exp(-log_variance) + log_variance).mean()

    def gradient_loss(layers, k):
        along = model.next_values(layers, window[k][:, None] + H * directions[k]).imag / H.imag
        return ((along - differences[k]) ** 2).mean() / MEMBERS

    for k, layers in enumerate(model.members):
        nll, r = zeros_like(layers), zeros_like(layers)
        for l, kind, index in coordinates(layers):
            nll[l][kind][index] = likelihood_loss(perturbed(layers, l, kind, index, H), k).imag / H.imag
            sides = [gradient_loss(perturbed(layers, l, kind, index, sign * CENTRAL_STEP), k) for sign in (1.0, -1.0)]
            r[l][kind][index] = (sides[0] - sides[1]) / (2 * CENTRAL_STEP)
        store(out, f"gradient_step/nll_gradient/{k}", nll)
        store(out, f"gradient_step/r_gradient/{k}", r)
    numbers = range(MEMBERS)
    columns = dict(inputs=inputs, targets=targets, window_inputs=window, directions=directions, differences=differences)
    columns |= dict(nll=np.array([likelihood_loss(model.members[k], k) for k in numbers]))
    columns |= dict(r=np.array(sum(gradient_loss(model.members[k], k) for k in numbers)))
    out.update({f"gradient_step/{name}": value for name, value in columns.items()})


def make_probe(seed=0, source="gradient_model"):
    """(tensors, header) of a whole probe."""
    rng = np.random.default_rng(seed)
    policy = random_network(rng, [STATES, 6, 5, 2 * ACTIONS])
    # One log σ about its upper bound: some rows are clamped, and their tanh saturates.
    policy[-1][1][ACTIONS] = 1.9
    critics = [random_network(rng, [STATES + ACTIONS, 6, 5, 1]) for _ in range(2)]
    models = {"prediction_model": Model(rng), "gradient_model": Model(rng)}
    out = {"action_scale": rng.uniform(0.4, 3.0, size=ACTIONS), "action_bias": rng.normal(size=ACTIONS)}
    for name, network in [("policy", policy), ("critic1", critics[0]), ("critic2", critics[1])]:
        store(out, name, network)
    for name, model in models.items():
        out[f"{name}/input_mean"], out[f"{name}/input_std"] = model.mean, model.std
        for k, layers in enumerate(model.members):
            store(out, f"{name}/{k}", layers)
    policy_update(rng, out, policy, critics, *models.values(), source)
    gradient_step(rng, out, models["gradient_model"])
    header = dict(discount=DISCOUNT, alpha=ALPHA, horizon=HORIZON, gradient_source=source)
    header |= dict(min_log_variance=LOW, max_log_variance=HIGH, gradient_loss_weight=1.0, weight_decay=[0.0] * 3)
    return out, {name: str(value) for name, value in header.items()}


def write_probe(path, tensors, header, dtype=np.float64):
    """Floating-point tensors as `dtype`, member indices as they are."""
    cast = {k: np.ascontiguousarray(t if t.dtype == np.uint32 else t.astype(dtype)) for k, t in tensors.items()}
    save_file(cast, path, metadata=header)


def main():
    parser = argparse.ArgumentParser(description="Write a small probe file without autodiff.")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--source", choices=("gradient_model", "prediction_model"), default="gradient_model")
    parser.add_argument("--dtype", choices=("f32", "f64"), default="f64")
    options = parser.parse_args()
    write_probe(options.output, *make_probe(options.seed, options.source), dtype=options.dtype.replace("f", "float"))


if __name__ == "__main__":
    main()
