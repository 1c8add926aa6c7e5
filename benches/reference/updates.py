"""The four timed pieces (SPEC sections 1-3). Each class holds what one piece needs; `run` does it once.

Random draws (action and model noise, elites) are part of a piece; drawing minibatches from the buffers is not.
`flops` counts the multiplications and additions of the matrix products that the mathematics needs, two a
multiply-add, and nothing else: no padding, no input gradients of a first layer, no log-variance head where only the
mean is used, no primal head in R.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from networks import (
    Model,
    Policy,
    bounded_log_variance,
    detached,
    grouped,
    mean_product,
    mlp,
    parameters,
    random_layers,
    sampled_step,
    twin_minimum,
)

DISCOUNT = 0.99
TARGET_RATE = 0.005
# Temperature at which the policy update is timed.
ALPHA = 0.2
MEMBERS, ELITES = 7, 5
WEIGHT_DECAY = (2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4)


@dataclass(frozen=True)
class Sizes:
    """S, A, K (the paper's H), n and w of a task (SPEC sections 4 and 5), and what all tasks share."""

    states: int
    actions: int
    horizon: int
    neighbours: int
    weight: float
    batch: int = 256
    policy_hidden: tuple = (256, 256)
    model_hidden: tuple = (200, 200, 200, 200)

    @property
    def policy(self):
        return (self.states, *self.policy_hidden, 2 * self.actions)

    @property
    def critic(self):
        return (self.states + self.actions, *self.policy_hidden, 1)

    @property
    def model(self):
        return (self.states + self.actions, *self.model_hidden, 2 * (1 + self.states))

    @property
    def mean_model(self):
        return (*self.model[:-1], 1 + self.states)


TASKS = {
    "InvertedPendulum": Sizes(4, 1, 3, 10, 10.0),
    "Hopper": Sizes(11, 3, 2, 25, 50.0),
    "Walker2d": Sizes(17, 6, 3, 25, 0.1),
    "HalfCheetah": Sizes(17, 6, 3, 5, 1.0),
    "AntTruncatedObs": Sizes(27, 8, 3, 5, 0.1),
    "HumanoidTruncatedObs": Sizes(45, 17, 3, 5, 0.1),
}


def product_flops(sizes, rows):
    """One pass of `rows` rows through all linear maps; the same for each map's weight and input gradients."""
    return 2 * rows * sum(i * o for i, o in zip(sizes, sizes[1:]))


def first_flops(sizes, rows):
    return 2 * rows * sizes[0] * sizes[1]


def adam(tensors, rate, fused, **options):
    return torch.optim.Adam(tensors, lr=rate, fused=fused, **options)


def trainable(layers):
    for tensor in parameters(layers):
        tensor.requires_grad_()
    return layers


def not_finite(_, state):
    """Stands for a task's termination function: the part that most of them share."""
    return 1.0 - torch.isfinite(state).all(-1).float()


def random_policy(sizes):
    return Policy(trainable(random_layers(sizes.policy)), torch.ones(sizes.actions), torch.zeros(sizes.actions))


def random_model(sizes):
    width = sizes.states + sizes.actions
    return Model(random_layers(sizes.model, MEMBERS), torch.zeros(width), torch.ones(width))


class CriticUpdate:
    """Twin critic, its targets, and the temperature (eq. 12, 13)."""

    def __init__(self, sizes, fused=True):
        b, s, a = sizes.batch, sizes.states, sizes.actions
        self.sizes, self.policy = sizes, random_policy(sizes)
        self.policy.layers = detached(self.policy.layers)
        self.critics = trainable(random_layers(sizes.critic, 2))
        self.targets = [(weight.clone(), bias.clone()) for weight, bias in detached(self.critics)]
        self.log_alpha = torch.zeros((), requires_grad=True)
        self.optimiser = adam(parameters(self.critics), 3e-4, fused)
        self.temperature_optimiser = adam([self.log_alpha], 3e-4, fused)
        self.state, self.action, self.reward = torch.randn(b, s), torch.rand(b, a) * 2 - 1, torch.randn(b)
        self.next_state, self.done = torch.randn(b, s), torch.zeros(b)

    def run(self):
        noise = torch.randn(2, *self.action.shape)
        with torch.no_grad():
            next_action, next_log_prob = self.policy.act(self.next_state, noise[0])
            value = twin_minimum(self.targets, self.next_state, next_action)
            value -= self.log_alpha.exp() * next_log_prob
            target = self.reward + DISCOUNT * (1.0 - self.done) * value
            _, log_prob = self.policy.act(self.state, noise[1])
        values = mlp(self.critics, torch.cat([self.state, self.action], dim=-1), F.relu).squeeze(-1)
        # MSE_1 + MSE_2.
        loss = 2.0 * F.mse_loss(values, target.expand_as(values))
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_value_(parameters(self.critics), 100.0)
        self.optimiser.step()

        temperature_loss = -self.log_alpha * (log_prob - self.sizes.actions).mean()
        self.temperature_optimiser.zero_grad()
        temperature_loss.backward()
        self.temperature_optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(parameters(self.targets), parameters(self.critics), TARGET_RATE)

    def flops(self):
        rows, critic = self.sizes.batch, self.sizes.critic
        policy = 2 * product_flops(self.sizes.policy, rows)
        return policy + 2 * (4 * product_flops(critic, rows) - first_flops(critic, rows))


@dataclass
class Draws:
    """Everything random in one policy update: [K + 1, B, A], [K, B, 1 + S], [K, B], [K, B]."""

    action_noise: torch.Tensor
    model_noise: torch.Tensor
    prediction_elites: torch.Tensor
    gradient_elites: torch.Tensor


def policy_objective(policy, critics, prediction, derivative, alpha, discount, start, draws, ended):
    """(1/B) Σ_rows Σ_j γ^j m_j c_j (eq. 11), whose derivative by the policy's parameters is SPEC section 2's.

    `derivative` is a mean-only model. A step's value is the prediction model's sample, its derivative the gradient
    model's: the latter's mean less itself detached is added to the former. `ended(j, s_{j+1})` [B]: d_j, 0 or 1.
    """
    state, alive, total = start, start.new_ones(start.shape[0]), 0.0
    for j in range(len(draws.model_noise)):
        action, log_prob = policy.act(state, draws.action_noise[j])
        inputs = torch.cat([state, action], dim=-1)
        with torch.no_grad():
            outputs = grouped(prediction, inputs, draws.prediction_elites[j])
            _, following = sampled_step(outputs, state, draws.model_noise[j])
        mean = grouped(derivative, inputs, draws.gradient_elites[j])
        total = total + discount**j * (alive * (alpha * log_prob - mean[:, 0])).mean()
        moving = state + mean[:, 1:]
        state = following + (moving - moving.detach())
        alive = alive * (1.0 - ended(j, following))
    action, log_prob = policy.act(state, draws.action_noise[-1])
    cost = alpha * log_prob - twin_minimum(critics, state, action)
    return total + discount ** len(draws.model_noise) * (alive * cost).mean()


class PolicyUpdate:
    """Eq. 11 with two models: forward by one, backward by the other."""

    def __init__(self, sizes, fused=True):
        self.sizes, self.policy = sizes, random_policy(sizes)
        self.critics = random_layers(sizes.critic, 2)
        self.prediction = random_model(sizes).elites_of(torch.arange(ELITES))
        self.derivative = random_model(sizes).elites_of(torch.arange(ELITES), mean_only=True)
        self.optimiser = adam(parameters(self.policy.layers), 3e-4, fused)
        self.start = torch.randn(sizes.batch, sizes.states)

    def run(self):
        b, s, a, k = self.sizes.batch, self.sizes.states, self.sizes.actions, self.sizes.horizon
        draws = Draws(
            torch.randn(k + 1, b, a),
            torch.randn(k, b, 1 + s),
            torch.randint(ELITES, (k, b)),
            torch.randint(ELITES, (k, b)),
        )
        networks = (self.policy, self.critics, self.prediction, self.derivative)
        loss = policy_objective(*networks, ALPHA, DISCOUNT, self.start, draws, not_finite)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_value_(parameters(self.policy.layers), 5.0)
        self.optimiser.step()

    def flops(self):
        sizes, rows, k = self.sizes, self.sizes.batch, self.sizes.horizon
        policy = 3 * (k + 1) * product_flops(sizes.policy, rows) - first_flops(sizes.policy, rows)
        models = k * (product_flops(sizes.model, rows) + 2 * product_flops(sizes.mean_model, rows))
        return policy + models + 2 * 2 * product_flops(sizes.critic, rows)


def gradient_model_loss(model, weight, inputs, targets, window, directions, differences):
    """(Σ_members NLL + w·R, R) of eq. 9 and 10, without the weight penalty, which Adam's weight_decay adds."""
    rows = inputs.shape[1]
    output = mlp(model.layers, model.standardised(inputs), F.silu)
    mean, raw = output.chunk(2, dim=-1)
    log_variance = bounded_log_variance(raw)
    nll = ((mean - targets).square() * torch.exp(-log_variance) + log_variance).sum() / (rows * mean.shape[-1])
    product = mean_product(model.layers, model.standardised(window), directions / model.std)
    # y = (r, s') and s' = s + Δs: the Jacobian's identity part gives v's state part back.
    known = differences - F.pad(directions[..., : differences.shape[-1] - 1], (1, 0))
    r = (product - known).square().mean()
    return nll + weight * r, r


class GradientModelStep:
    """One step of the gradient model's training: all seven members."""

    def __init__(self, sizes, directions, fused=True):
        m, b, s, width = MEMBERS, sizes.batch, sizes.states, sizes.states + sizes.actions
        self.sizes, self.directions, self.model = sizes, directions, random_model(sizes)
        trainable(self.model.layers)
        groups = [
            group
            for (weight, bias), decay in zip(self.model.layers, WEIGHT_DECAY)
            for group in (dict(params=[weight], weight_decay=decay), dict(params=[bias]))
        ]
        self.optimiser = adam(groups, 1e-3, fused)
        self.inputs, self.targets = torch.randn(m, b, width), torch.randn(m, b, 1 + s)
        self.window, self.v = torch.randn(m, b, width), 0.1 * torch.randn(m, b, directions, width)
        self.dy = 0.1 * torch.randn(m, b, directions, 1 + s)

    def run(self):
        loss, _ = gradient_model_loss(
            self.model, self.sizes.weight, self.inputs, self.targets, self.window, self.v, self.dy
        )
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()

    def flops(self):
        sizes, rows = self.sizes, MEMBERS * self.sizes.batch

        def trained(shape, count):
            return 3 * product_flops(shape, count) - first_flops(shape, count)

        likelihood = trained(sizes.model, rows)
        return likelihood + trained(sizes.model[:-1], rows) + trained(sizes.mean_model, rows * self.directions)


class ModelForward:
    """A sampled step of 10 000 rows through one member, as in the model rollouts."""

    ROWS = 10_000

    def __init__(self, sizes):
        self.sizes = sizes
        model = random_model(sizes)
        self.model = Model([(weight[0], bias[0, 0]) for weight, bias in model.layers], model.mean, model.std)
        self.state = torch.randn(self.ROWS, sizes.states)
        self.action = torch.rand(self.ROWS, sizes.actions) * 2 - 1

    @torch.inference_mode()
    def run(self):
        x = self.model.standardised(torch.cat([self.state, self.action], dim=-1))
        outputs = mlp(self.model.layers, x, lambda z: F.silu(z, inplace=True))
        return sampled_step(outputs, self.state, torch.randn(self.ROWS, 1 + self.sizes.states))

    def flops(self):
        return product_flops(self.sizes.model, self.ROWS)
