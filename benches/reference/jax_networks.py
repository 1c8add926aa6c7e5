"""The networks of DDPPO (docs/algorithm.md) in JAX, laid out as in networks.py: an ensemble is weight [M, in, out], bias [M, 1, out].

Everything here is a pure function to be traced by `jax.jit`, or a tuple that it can take.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sizes import LOG_STD_BOUNDS, LOG_VARIANCE_BOUNDS, TANH_EPSILON


def linear(x, weight, bias):
    # A batched product over the members in front, if there are any; rows without members go through all of them.
    return jnp.matmul(x, weight) + bias


def mlp(layers, x, activation):
    for layer in layers[:-1]:
        x = activation(linear(x, *layer))
    return linear(x, *layers[-1])


def random_layers(key, sizes, members=None):
    """Normal weights with deviation 1/√in, zero biases: the timing does not depend on the values."""
    weight_lead, bias_lead = ((), ()) if members is None else ((members,), (members, 1))
    return [
        (jax.random.normal(k, (*weight_lead, i, o)) / math.sqrt(i), jnp.zeros((*bias_lead, o)))
        for k, i, o in zip(jax.random.split(key, len(sizes) - 1), sizes, sizes[1:])
    ]


def bounded_log_variance(raw):
    """Two softplus folds (docs/algorithm.md, "The models")."""
    low, high = LOG_VARIANCE_BOUNDS
    raw = high - jax.nn.softplus(high - raw)
    return low + jax.nn.softplus(raw - low)


class Model(NamedTuple):
    """An ensemble and its standardiser. Outputs: mean of (r, Δs), then its raw log-variance."""

    layers: list
    mean: jax.Array
    std: jax.Array

    def standardised(self, x):
        return (x - self.mean) / self.std

    def mean_only(self):
        """Without the log-variance head."""
        weight, bias = self.layers[-1]
        half = weight.shape[-1] // 2
        return self._replace(layers=[*self.layers[:-1], (weight[..., :half], bias[..., :half])])


def capacity_of(rows, members):
    """Places a member in a slab of fixed shape: 3 deviations above the mean number of rows, in eights.

    256 rows and 5 members get 72; one update in 50 has a fuller slab somewhere.
    """
    mean = rows / members
    return min(rows, 8 * math.ceil((mean + 3.0 * math.sqrt(mean * (1.0 - 1.0 / members))) / 8))


def fullest(elites, members):
    """Rows of the fullest slab when each line of `elites` [lines, B] is routed by itself."""
    return (elites[..., None] == jnp.arange(members)).sum(-2).max()


def grouped(model, x, elites, capacity):
    """Raw outputs [B, out] for raw x [B, S + A], row b answered by member elites[b].

    Rows go into one slab a member with `capacity` places, which no member's rows may exceed: one batched product a layer.
    `capacity` None: every row through every member and one answer kept, whatever the elites are.
    """
    members, rows = model.layers[0][0].shape[0], jnp.arange(x.shape[0])
    x = model.standardised(x)
    if capacity is None:
        return mlp(model.layers, x, jax.nn.silu)[elites, rows]
    mine = elites[:, None] == jnp.arange(members)
    earlier = mine.cumsum(0)[rows, elites] - 1
    place = elites * capacity + earlier
    # A place without a row holds row 0, whose answer is dropped.
    row = jnp.zeros(members * capacity, rows.dtype).at[place].set(rows, unique_indices=True)
    outputs = mlp(model.layers, x[row].reshape(members, capacity, -1), jax.nn.silu)
    return outputs.reshape(members * capacity, -1)[place]


def sampled_step(outputs, state, noise):
    """(r, s') [B, 1 + S] from raw outputs [B, 2(1 + S)] and noise [B, 1 + S]."""
    mean, raw = jnp.split(outputs, 2, axis=-1)
    sample = mean + jnp.exp(0.5 * bounded_log_variance(raw)) * noise
    return sample[:, 0], state + sample[:, 1:]


class Policy(NamedTuple):
    """Tanh-Gaussian policy: a = scale·tanh(u) + bias, u = μ + σ·η."""

    layers: list
    scale: jax.Array
    bias: jax.Array

    def act(self, state, noise):
        """(action [B, A], log density [B]) for η = noise [B, A]."""
        mean, log_std = jnp.split(mlp(self.layers, state, jax.nn.relu), 2, axis=-1)
        log_std = jnp.clip(log_std, *LOG_STD_BOUNDS)
        squashed = jnp.tanh(mean + jnp.exp(log_std) * noise)
        # (u − μ)/σ is the noise itself.
        density = -0.5 * noise**2 - log_std - 0.5 * math.log(2.0 * math.pi)
        correction = jnp.log(self.scale * (1.0 - squashed**2) + TANH_EPSILON)
        return self.scale * squashed + self.bias, (density - correction).sum(-1)


def twin_minimum(critics, state, action):
    """min(Q_1, Q_2) [B] of a twin [2, in, out]."""
    return mlp(critics, jnp.concatenate([state, action], -1), jax.nn.relu)[..., 0].min(0)


def mean_product(layers, x, v):
    """Forward mode by hand: J·v of the mean head, [M, b, m, out/2], at standardised x [M, b, in] for v [M, b, m, in].

    SiLU's derivative is computed once a row and serves all m directions of that row, which `jax.jvp` under `vmap` would
    leave to the compiler.
    """
    members, rows, directions, _ = v.shape
    tangent = v.reshape(members, rows * directions, -1)
    for weight, bias in layers[:-1]:
        z = linear(x, weight, bias)
        gate = jax.nn.sigmoid(z)
        x = z * gate
        slope = gate + x * (1.0 - gate)
        tangent = jnp.matmul(tangent, weight).reshape(members, rows, directions, -1) * slope[:, :, None]
        tangent = tangent.reshape(members, rows * directions, -1)
    half = layers[-1][0].shape[-1] // 2
    return jnp.matmul(tangent, layers[-1][0][..., :half]).reshape(members, rows, directions, -1)
