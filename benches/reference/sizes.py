"""Sizes, constants and operation counts of the four timed pieces (docs/algorithm.md), the same for every framework.

`flops` counts the multiplications and additions of the matrix products that the mathematics needs, two a
multiply-add, and nothing else: no padding, no input gradients of a first layer, no log-variance head where only the
mean is used, no primal head in R.
"""

from dataclasses import dataclass

PIECES = ("critic_update", "policy_update", "gradient_model_step", "model_forward_10k")
FORWARD_ROWS = 10_000

DISCOUNT = 0.99
TARGET_RATE = 0.005
# Temperature at which the policy update is timed.
ALPHA = 0.2
MEMBERS, ELITES = 7, 5
RATE, MODEL_RATE = 3e-4, 1e-3
WEIGHT_DECAY = (2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4)
CRITIC_CLIP, POLICY_CLIP = 100.0, 5.0

LOG_STD_BOUNDS = (-20.0, 2.0)
LOG_VARIANCE_BOUNDS = (-10.0, 0.5)
TANH_EPSILON = 1e-6


@dataclass(frozen=True)
class Sizes:
    """S, A, K (the paper's H), n and w of a task (docs/algorithm.md, "The paper's settings" and "The MuJoCo tasks"), and what all tasks share."""

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


def product_flops(layers, rows):
    """One pass of `rows` rows through all linear maps; the same for each map's weight and input gradients."""
    return 2 * rows * sum(i * o for i, o in zip(layers, layers[1:]))


def first_flops(layers, rows):
    return 2 * rows * layers[0] * layers[1]


def trained_flops(layers, rows):
    """Forward, weight gradients, and input gradients of all layers but the first."""
    return 3 * product_flops(layers, rows) - first_flops(layers, rows)


def flops(piece, sizes, directions):
    """Operations that one run needs; `directions` a row in R."""
    rows, k = sizes.batch, sizes.horizon
    if piece == "critic_update":
        # The policy at s and s', both targets forward, both critics trained.
        targets = 2 * product_flops(sizes.critic, rows)
        return 2 * product_flops(sizes.policy, rows) + targets + 2 * trained_flops(sizes.critic, rows)
    if piece == "policy_update":
        policy = 3 * (k + 1) * product_flops(sizes.policy, rows) - first_flops(sizes.policy, rows)
        models = k * (product_flops(sizes.model, rows) + 2 * product_flops(sizes.mean_model, rows))
        return policy + models + 2 * 2 * product_flops(sizes.critic, rows)
    if piece == "gradient_model_step":
        rows *= MEMBERS
        primal = trained_flops(sizes.model, rows) + trained_flops(sizes.model[:-1], rows)
        # Of more directions than inputs, J's columns give all.
        tangents = min(directions, sizes.mean_model[0])
        return primal + trained_flops(sizes.mean_model, rows * tangents)
    return product_flops(sizes.model, FORWARD_ROWS)
