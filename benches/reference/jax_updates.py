"""The four timed pieces (docs/algorithm.md) in JAX. Each class holds what one piece needs; `run` does it once.

A piece is one jitted function with its random draws inside: what it changes is one tuple, donated and given back new.
Networks that it only reads are arguments and not constants, since they change between updates of a training.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jax_networks import (
    Model,
    Policy,
    bounded_log_variance,
    capacity_of,
    fullest,
    grouped,
    mean_product,
    mlp,
    random_layers,
    sampled_step,
    twin_minimum,
)
from sizes import (
    ALPHA,
    CRITIC_CLIP,
    DISCOUNT,
    ELITES,
    FORWARD_ROWS,
    MEMBERS,
    MODEL_RATE,
    POLICY_CLIP,
    RATE,
    TARGET_RATE,
    WEIGHT_DECAY,
)


class Adam(NamedTuple):
    """Step count and both moments, shaped like the parameters."""

    count: jax.Array
    first: object
    second: object


def fresh_adam(parameters):
    zeros = partial(jax.tree.map, jnp.zeros_like)
    return Adam(jnp.zeros((), jnp.int32), zeros(parameters), zeros(parameters))


def adam(parameters, gradients, state, rate):
    """(parameters, state) after a step with PyTorch's constants."""
    count = state.count + 1
    scale_first, scale_second = (1.0 / (1.0 - beta**count) for beta in (0.9, 0.999))
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state.first, gradients)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, state.second, gradients)
    moved = jax.tree.map(
        lambda p, m, v: p - rate * scale_first * m / (jnp.sqrt(scale_second * v) + 1e-8), parameters, first, second
    )
    return moved, Adam(count, first, second)


def clipped(gradients, bound):
    return jax.tree.map(lambda g: jnp.clip(g, -bound, bound), gradients)


def not_finite(_, state):
    """Stands for a task's termination function: the part that most of them share."""
    return 1.0 - jnp.isfinite(state).all(-1)


def random_policy(key, sizes):
    return Policy(random_layers(key, sizes.policy), jnp.ones(sizes.actions), jnp.zeros(sizes.actions))


def random_model(key, sizes, members=MEMBERS):
    width = sizes.states + sizes.actions
    return Model(random_layers(key, sizes.model, members), jnp.zeros(width), jnp.ones(width))


def normals(key, *shapes):
    return [jax.random.normal(k, shape) for k, shape in zip(jax.random.split(key, len(shapes)), shapes)]


class Piece:
    """A jitted `step(state, reads) -> state`, its state and what it reads."""

    def __init__(self, step, state, reads):
        self.step, self.state, self.reads = jax.jit(step, donate_argnums=0), state, reads

    def run(self):
        self.state = jax.block_until_ready(self.step(self.state, self.reads))


def critic_loss(trained, targets, policy, noise, state, action, reward, next_state, done):
    """MSE_1 + MSE_2 (eq. 12) and the temperature's loss (eq. 13): they share no parameter, so one backward pass does."""
    critics, log_alpha = trained
    next_action, next_log_prob = policy.act(next_state, noise[0])
    value = twin_minimum(targets, next_state, next_action) - jnp.exp(log_alpha) * next_log_prob
    target = jax.lax.stop_gradient(reward + DISCOUNT * (1.0 - done) * value)
    _, log_prob = policy.act(state, noise[1])
    values = mlp(critics, jnp.concatenate([state, action], -1), jax.nn.relu)[..., 0]
    error = ((values - target) ** 2).mean(-1).sum()
    return error - log_alpha * (log_prob - action.shape[-1]).mean()


def critic_update(sizes, key):
    """Twin critic, its targets, and the temperature."""
    b, s, a = sizes.batch, sizes.states, sizes.actions
    keys = jax.random.split(key, 4)
    policy, critics = random_policy(keys[0], sizes), random_layers(keys[1], sizes.critic, 2)
    state, action, reward, next_state = normals(keys[2], (b, s), (b, a), (b,), (b, s))
    batch = (state, jnp.tanh(action), reward, next_state, jnp.zeros(b))

    def step(state, reads):
        key, trained, targets, moments = state
        policy, batch = reads
        key, now = jax.random.split(key)
        noise = jax.random.normal(now, (2, b, a))
        critic, alpha = jax.grad(critic_loss)(trained, targets, policy, noise, *batch)
        trained, moments = adam(trained, (clipped(critic, CRITIC_CLIP), alpha), moments, RATE)
        targets = jax.tree.map(lambda old, new: old + TARGET_RATE * (new - old), targets, trained[0])
        return key, trained, targets, moments

    trained = (critics, jnp.zeros(()))
    return Piece(step, (keys[3], trained, jax.tree.map(jnp.copy, critics), fresh_adam(trained)), (policy, batch))


class Draws(NamedTuple):
    """Everything random in one policy update: [K + 1, B, A], [K, B, 1 + S], and K lines [B] of elites for either model."""

    action_noise: jax.Array
    model_noise: jax.Array
    prediction: jax.Array
    derivative: jax.Array


def policy_objective(layers, policy, critics, prediction, derivative, alpha, discount, start, draws, ended, capacity):
    """(1/B) Σ_rows Σ_j γ^j m_j c_j (eq. 11), whose derivative by the policy's layers is that of docs/algorithm.md, "The policy's gradient".

    As in updates.py: a step's value is the prediction model's sample, its derivative that of `derivative`, a mean-only
    model. `ended(j, s_{j+1})` [B]: d_j, 0 or 1.
    """
    policy, stop = policy._replace(layers=layers), jax.lax.stop_gradient
    state, alive, total = start, jnp.ones(start.shape[0], start.dtype), 0.0
    for j in range(len(draws.model_noise)):
        action, log_prob = policy.act(state, draws.action_noise[j])
        inputs = jnp.concatenate([state, action], -1)
        outputs = grouped(prediction, stop(inputs), draws.prediction[j], capacity)
        _, following = sampled_step(outputs, stop(state), draws.model_noise[j])
        mean = grouped(derivative, inputs, draws.derivative[j], capacity)
        total = total + discount**j * (alive * (alpha * log_prob - mean[:, 0])).mean()
        moving = state + mean[:, 1:]
        state = following + (moving - stop(moving))
        alive = alive * (1.0 - ended(j, following))
    action, log_prob = policy.act(state, draws.action_noise[-1])
    cost = alpha * log_prob - twin_minimum(critics, state, action)
    return total + discount ** len(draws.model_noise) * (alive * cost).mean()


def policy_gradient(layers, policy, critics, prediction, derivative, *arguments):
    """Of `policy_objective` by the layers; the arguments are its own, but for the last.

    Shapes under jit are fixed: slabs of a capacity that nearly always suffices, and all rows through all members where it
    does not. One branch a whole gradient, so that neither keeps the other's intermediate values.
    """
    start, draws = arguments[2:4]
    members = prediction.layers[0][0].shape[0]
    capacity = capacity_of(start.shape[0], members)

    def gradient(capacity):
        return jax.grad(policy_objective)(layers, policy, critics, prediction, derivative, *arguments, capacity)

    fits = fullest(jnp.concatenate([draws.prediction, draws.derivative]), members) <= capacity
    return jax.lax.cond(fits, lambda: gradient(capacity), lambda: gradient(None))


def policy_update(sizes, key):
    """Eq. 11 with two models: forward by one, backward by the other."""
    b, s, a, k = sizes.batch, sizes.states, sizes.actions, sizes.horizon
    keys = jax.random.split(key, 6)
    policy, critics = random_policy(keys[0], sizes), random_layers(keys[1], sizes.critic, 2)
    prediction, derivative = (random_model(key, sizes, ELITES) for key in keys[2:4])
    reads = (policy._replace(layers=None), critics, prediction, derivative.mean_only())
    start = jax.random.normal(keys[4], (b, s))

    def step(state, reads):
        key, layers, moments = state
        networks, start = reads
        key, noises, elites = jax.random.split(key, 3)
        elites = jax.random.randint(elites, (2, k, b), 0, ELITES)
        draws = Draws(*normals(noises, (k + 1, b, a), (k, b, 1 + s)), *elites)
        gradient = policy_gradient(layers, *networks, ALPHA, DISCOUNT, start, draws, not_finite)
        layers, moments = adam(layers, clipped(gradient, POLICY_CLIP), moments, RATE)
        return key, layers, moments

    return Piece(step, (keys[5], policy.layers, fresh_adam(policy.layers)), (reads, start))


def gradient_model_loss(layers, model, weight, inputs, targets, window, directions, differences):
    """(Σ_members NLL + w·R, R) of eq. 9 and 10, without the weight penalty."""
    rows = inputs.shape[1]
    mean, raw = jnp.split(mlp(layers, model.standardised(inputs), jax.nn.silu), 2, axis=-1)
    log_variance = bounded_log_variance(raw)
    nll = ((mean - targets) ** 2 * jnp.exp(-log_variance) + log_variance).sum() / (rows * mean.shape[-1])
    product = mean_product(layers, model.standardised(window), directions / model.std)
    # y = (r, s') and s' = s + Δs: the Jacobian's identity part gives v's state part back.
    states = differences.shape[-1] - 1
    known = differences.at[..., 1:].add(-directions[..., :states])
    r = ((product - known) ** 2).mean()
    return nll + weight * r, r


def gradient_model_step(sizes, directions, key):
    """One step of the gradient model's training: all seven members."""
    m, b, s, width = MEMBERS, sizes.batch, sizes.states, sizes.states + sizes.actions
    keys = jax.random.split(key, 2)
    model = random_model(keys[0], sizes)
    shapes = ((m, b, width), (m, b, 1 + s), (m, b, width), (m, b, directions, width), (m, b, directions, 1 + s))
    *rest, v, dy = normals(keys[1], *shapes)
    batch = (*rest, 0.1 * v, 0.1 * dy)

    def step(state, reads):
        layers, moments = state
        model, batch = reads
        gradient, _ = jax.grad(gradient_model_loss, has_aux=True)(layers, model, sizes.weight, *batch)
        gradient = [
            (weight + decay * layer[0], bias) for (weight, bias), layer, decay in zip(gradient, layers, WEIGHT_DECAY)
        ]
        return adam(layers, gradient, moments, MODEL_RATE)

    return Piece(step, (model.layers, fresh_adam(model.layers)), (model._replace(layers=None), batch))


def model_forward(sizes, key):
    """A sampled step of 10 000 rows through one member, as in the model rollouts."""
    keys = jax.random.split(key, 3)
    model = random_model(keys[0], sizes, None)
    state, action = normals(keys[1], (FORWARD_ROWS, sizes.states), (FORWARD_ROWS, sizes.actions))

    def step(carried, reads):
        key, _ = carried
        model, state, action = reads
        key, now = jax.random.split(key)
        x = model.standardised(jnp.concatenate([state, action], -1))
        noise = jax.random.normal(now, (FORWARD_ROWS, 1 + sizes.states))
        return key, sampled_step(mlp(model.layers, x, jax.nn.silu), state, noise)

    # The answer is part of the state, so that its memory is used again.
    answer = (jnp.zeros(FORWARD_ROWS), jnp.zeros_like(state))
    return Piece(step, (keys[2], answer), (model, state, jnp.tanh(action)))
