"""The four timed pieces (docs/algorithm.md) in PyTorch. Each class holds what one piece needs; `run` does it once.

Random draws (action and model noise, elites) are part of a piece; drawing minibatches from the buffers is not.

With `compiled`, torch.compile gets each piece's forward pass down to the loss, and with it the backward pass. The draws,
Adam and Polyak stay eager: each is one fused loop already. Its mode "max-autotune-no-cudagraphs" was no faster for
model_forward_10k and gradient_model_step.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from networks import (
    Model,
    Policy,
    bounded_log_variance,
    detached,
    fullest,
    grouped,
    mean_product,
    mlp,
    parameters,
    random_layers,
    route,
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


def through(function, compiled):
    """One graph without breaks: whatever cannot be compiled is an error, not slow."""
    return torch.compile(function, fullgraph=True) if compiled else function


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


def critic_loss(critics, targets, policy, log_alpha, noise, state, action, reward, next_state, done):
    """MSE_1 + MSE_2 (eq. 12) and the temperature's loss (eq. 13): they share no parameter, so one backward pass does."""
    with torch.no_grad():
        next_action, next_log_prob = policy.act(next_state, noise[0])
        value = twin_minimum(targets, next_state, next_action)
        value = value - log_alpha.exp() * next_log_prob
        target = reward + DISCOUNT * (1.0 - done) * value
        _, log_prob = policy.act(state, noise[1])
    values = mlp(critics, torch.cat([state, action], dim=-1), F.relu).squeeze(-1)
    error = (values - target).square().mean(-1).sum()
    return error - log_alpha * (log_prob - action.shape[-1]).mean()


class CriticUpdate:
    """Twin critic, its targets, and the temperature."""

    def __init__(self, sizes, fused=True, compiled=False):
        b, s, a = sizes.batch, sizes.states, sizes.actions
        self.policy = random_policy(sizes)
        self.policy.layers = detached(self.policy.layers)
        self.critics = trainable(random_layers(sizes.critic, 2))
        self.targets = [(weight.clone(), bias.clone()) for weight, bias in detached(self.critics)]
        self.log_alpha = torch.zeros((), requires_grad=True)
        self.optimiser = adam([*parameters(self.critics), self.log_alpha], RATE, fused)
        # s, a, r, s', d.
        self.batch = (torch.randn(b, s), torch.rand(b, a) * 2 - 1, torch.randn(b), torch.randn(b, s), torch.zeros(b))
        self.loss = through(critic_loss, compiled)

    def run(self):
        noise = torch.randn(2, *self.batch[1].shape)
        self.optimiser.zero_grad()
        self.loss(self.critics, self.targets, self.policy, self.log_alpha, noise, *self.batch).backward()
        torch.nn.utils.clip_grad_value_(parameters(self.critics), CRITIC_CLIP)
        self.optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(parameters(self.targets), parameters(self.critics), TARGET_RATE)


@dataclass
class Draws:
    """Everything random in one policy update: [K + 1, B, A], [K, B, 1 + S], and K routes through either model."""

    action_noise: torch.Tensor
    model_noise: torch.Tensor
    prediction: list
    derivative: list


def policy_objective(policy, critics, prediction, derivative, alpha, discount, start, draws, ended):
    """(1/B) Σ_rows Σ_j γ^j m_j c_j (eq. 11), whose derivative by the policy's parameters is that of docs/algorithm.md, "The policy's gradient".

    `derivative` is a mean-only model. A step's value is the prediction model's sample, its derivative the gradient
    model's: the latter's mean less itself detached is added to the former. `ended(j, s_{j+1})` [B]: d_j, 0 or 1.
    """
    state, alive, total = start, start.new_ones(start.shape[0]), 0.0
    for j in range(len(draws.model_noise)):
        action, log_prob = policy.act(state, draws.action_noise[j])
        inputs = torch.cat([state, action], dim=-1)
        with torch.no_grad():
            outputs = grouped(prediction, inputs, draws.prediction[j])
            _, following = sampled_step(outputs, state, draws.model_noise[j])
        mean = grouped(derivative, inputs, draws.derivative[j])
        total = total + discount**j * (alive * (alpha * log_prob - mean[:, 0])).mean()
        moving = state + mean[:, 1:]
        state = following + (moving - moving.detach())
        alive = alive * (1.0 - ended(j, following))
    action, log_prob = policy.act(state, draws.action_noise[-1])
    cost = alpha * log_prob - twin_minimum(critics, state, action)
    return total + discount ** len(draws.model_noise) * (alive * cost).mean()


class PolicyUpdate:
    """Eq. 11 with two models: forward by one, backward by the other."""

    def __init__(self, sizes, fused=True, compiled=False):
        self.sizes, self.policy, self.compiled = sizes, random_policy(sizes), compiled
        self.critics = random_layers(sizes.critic, 2)
        self.prediction = random_model(sizes).elites_of(torch.arange(ELITES))
        self.derivative = random_model(sizes).elites_of(torch.arange(ELITES), mean_only=True)
        self.optimiser = adam(parameters(self.policy.layers), RATE, fused)
        self.start = torch.randn(sizes.batch, sizes.states)
        self.objective = through(policy_objective, compiled)

    def run(self):
        b, s, a, k = self.sizes.batch, self.sizes.states, self.sizes.actions, self.sizes.horizon
        noise, elites = (torch.randn(k + 1, b, a), torch.randn(k, b, 1 + s)), torch.randint(ELITES, (2 * k, b))
        routes = self.routes(elites)
        draws = Draws(*noise, routes[:k], routes[k:])
        networks = (self.policy, self.critics, self.prediction, self.derivative)
        loss = self.objective(*networks, ALPHA, DISCOUNT, self.start, draws, not_finite)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_value_(parameters(self.policy.layers), POLICY_CLIP)
        self.optimiser.step()

    def routes(self, elites):
        """A route for each line of `elites`.

        Compiled, all of an update are padded to its fullest slab, and that capacity is one dynamic size of the graph: with
        each route's own, every new pattern of equal capacities would be compiled anew. A fixed capacity of 80 rows, which
        nearly always suffices, was slower: more padding.
        """
        if not self.compiled:
            return [route(line, ELITES) for line in elites]
        capacity = fullest(elites, ELITES)
        routes = [route(line, ELITES, capacity) for line in elites]
        for each in routes:
            torch._dynamo.mark_dynamic(each.row, 1)
        return routes


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

    def __init__(self, sizes, directions, fused=True, compiled=False):
        m, b, s, width = MEMBERS, sizes.batch, sizes.states, sizes.states + sizes.actions
        self.weight, self.model = sizes.weight, random_model(sizes)
        trainable(self.model.layers)
        groups = [
            group
            for (weight, bias), decay in zip(self.model.layers, WEIGHT_DECAY)
            for group in (dict(params=[weight], weight_decay=decay), dict(params=[bias]))
        ]
        self.optimiser = adam(groups, MODEL_RATE, fused)
        likelihood = (torch.randn(m, b, width), torch.randn(m, b, 1 + s))
        v, dy = (0.1 * torch.randn(m, b, directions, size) for size in (width, 1 + s))
        self.batch = (*likelihood, torch.randn(m, b, width), v, dy)
        self.loss = through(gradient_model_loss, compiled)

    def run(self):
        self.optimiser.zero_grad()
        self.loss(self.model, self.weight, *self.batch)[0].backward()
        self.optimiser.step()


def model_step(model, state, action, noise):
    """(r, s') of a sampled step, where nothing is differentiated."""
    x = model.standardised(torch.cat([state, action], dim=-1))
    return sampled_step(mlp(model.layers, x, lambda z: F.silu(z, inplace=True)), state, noise)


class ModelForward:
    """A sampled step of 10 000 rows through one member, as in the model rollouts."""

    def __init__(self, sizes, compiled=False):
        model = random_model(sizes)
        self.model = Model([(weight[0], bias[0, 0]) for weight, bias in model.layers], model.mean, model.std)
        self.state = torch.randn(FORWARD_ROWS, sizes.states)
        self.action = torch.rand(FORWARD_ROWS, sizes.actions) * 2 - 1
        self.step = through(model_step, compiled)

    @torch.inference_mode()
    def run(self):
        return self.step(self.model, self.state, self.action, torch.randn(FORWARD_ROWS, 1 + self.state.shape[-1]))
