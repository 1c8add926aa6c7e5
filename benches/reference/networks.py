"""The networks of DDPPO (docs/algorithm.md) in PyTorch, as someone who knows PyTorch would write them for speed.

A network is a list of (weight, bias). One network: weight [in, out], bias [out]. An ensemble of M (or the twin critic,
M = 2): weight [M, in, out], bias [M, 1, out], so that a layer is one batched product.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from sizes import LOG_STD_BOUNDS, LOG_VARIANCE_BOUNDS, TANH_EPSILON


def linear(x, weight, bias):
    if weight.dim() == 2:
        return torch.addmm(bias, x, weight)
    if x.dim() == 2:
        x = x.expand(weight.shape[0], *x.shape)
    return torch.baddbmm(bias, x, weight)


def mlp(layers, x, activation):
    for layer in layers[:-1]:
        x = activation(linear(x, *layer))
    return linear(x, *layers[-1])


def detached(layers):
    return [(weight.detach(), bias.detach()) for weight, bias in layers]


def parameters(layers):
    return [tensor for layer in layers for tensor in layer]


def random_layers(sizes, members=None):
    """Normal weights with deviation 1/√in, zero biases: the timing does not depend on the values."""
    lead = () if members is None else (members,)
    return [
        (torch.randn(*lead, i, o) / math.sqrt(i), torch.zeros(*lead, *(() if members is None else (1,)), o))
        for i, o in zip(sizes, sizes[1:])
    ]


def bounded_log_variance(raw):
    """Two softplus folds (docs/algorithm.md, "The models")."""
    low, high = LOG_VARIANCE_BOUNDS
    raw = high - F.softplus(high - raw)
    return low + F.softplus(raw - low)


@dataclass
class Model:
    """An ensemble and its standardiser. Outputs: mean of (r, Δs), then its raw log-variance."""

    layers: list
    mean: torch.Tensor
    std: torch.Tensor

    def standardised(self, x):
        return (x - self.mean) / self.std

    def elites_of(self, members, mean_only=False):
        """A model of some members alone, detached; made once a training, since the elites change only there."""
        layers = [(weight[members], bias[members]) for weight, bias in detached(self.layers)]
        if mean_only:
            weight, bias = layers[-1]
            half = weight.shape[-1] // 2
            layers[-1] = (weight[..., :half].contiguous(), bias[..., :half].contiguous())
        return Model(layers, self.mean, self.std)


@dataclass
class Route:
    """Which rows go into which member's slab, padded to `capacity` places a member."""

    place: torch.Tensor
    """[B]: row b's place among the members × capacity."""
    row: torch.Tensor
    """[members, capacity]: the row of a place; where there is none, row 0, whose answer is dropped."""


def fullest(elites, members):
    """Rows of the fullest slab when each line of `elites` [lines, B] is routed by itself."""
    lines = torch.arange(elites.shape[0]).unsqueeze(1)
    return int(torch.bincount((lines * members + elites).flatten()).max())


def route(elites, members, capacity=None):
    """Sorts rows by the member that answers them; `capacity` is by default the fullest slab's."""
    counts = torch.bincount(elites, minlength=members)
    capacity = capacity or int(counts.max())
    order = elites.argsort()
    ordered = elites[order]
    places = ordered * capacity + torch.arange(len(order)) - (counts.cumsum(0) - counts)[ordered]
    row = order.new_zeros(members * capacity).index_copy(0, places, order)
    return Route(torch.empty_like(order).index_copy(0, order, places), row.view(members, capacity))


def grouped(model, x, route):
    """Raw outputs [B, out] for raw x [B, S + A], each row answered by its own member: one batched product a layer."""
    slabs = model.standardised(x).index_select(0, route.row.flatten()).view(*route.row.shape, -1)
    return mlp(model.layers, slabs, F.silu).flatten(0, 1).index_select(0, route.place)


def sampled_step(outputs, state, noise):
    """(r, s') [B, 1 + S] from raw outputs [B, 2(1 + S)] and noise [B, 1 + S]."""
    mean, raw = outputs.chunk(2, dim=-1)
    sample = torch.addcmul(mean, torch.exp(0.5 * bounded_log_variance(raw)), noise)
    return sample[:, 0], state + sample[:, 1:]


@dataclass
class Policy:
    """Tanh-Gaussian policy: a = scale·tanh(u) + bias, u = μ + σ·η."""

    layers: list
    scale: torch.Tensor
    bias: torch.Tensor

    def act(self, state, noise):
        """(action [B, A], log density [B]) for η = noise [B, A]."""
        mean, log_std = mlp(self.layers, state, F.relu).chunk(2, dim=-1)
        log_std = log_std.clamp(*LOG_STD_BOUNDS)
        squashed = torch.tanh(torch.addcmul(mean, log_std.exp(), noise))
        # (u − μ)/σ is the noise itself.
        density = -0.5 * noise.square() - log_std - 0.5 * math.log(2.0 * math.pi)
        correction = torch.log(self.scale * (1.0 - squashed.square()) + TANH_EPSILON)
        return self.scale * squashed + self.bias, (density - correction).sum(-1)


def twin_minimum(critics, state, action):
    """min(Q_1, Q_2) [B] of a twin [2, in, out]."""
    return mlp(critics, torch.cat([state, action], dim=-1), F.relu).squeeze(-1).amin(0)


def mean_product(layers, x, v):
    """Forward mode by hand: J·v of the mean head, [M, b, m, out/2], at standardised x [M, b, in] for v [M, b, m, in].

    SiLU's derivative is computed once a row and serves all m directions of that row; the reverse pass over both is
    autograd's.
    """
    members, rows, directions, _ = v.shape
    tangent = v.flatten(1, 2)
    for weight, bias in layers[:-1]:
        z = linear(x, weight, bias)
        gate = torch.sigmoid(z)
        x = z * gate
        slope = torch.addcmul(gate, x, 1.0 - gate)
        tangent = torch.bmm(tangent, weight).view(members, rows, directions, -1) * slope.unsqueeze(2)
        tangent = tangent.flatten(1, 2)
    mean_weight = layers[-1][0].chunk(2, dim=-1)[0]
    return torch.bmm(tangent, mean_weight).view(members, rows, directions, -1)
