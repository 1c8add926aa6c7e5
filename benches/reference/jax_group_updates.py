"""The programs of a group of runs (docs/devices.md) in JAX: one run's program, and `jax.vmap` over the runs.

Draws are arguments of the programs, as they are of ours; those of `step_updates` and `rollout_8k` are drawn on the device.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy

from jax_networks import bounded_log_variance, grouped, mean_product, mlp, random_layers, sampled_step
from jax_updates import (
    Draws,
    adam,
    clipped,
    critic_loss,
    fresh_adam,
    normals,
    not_finite,
    policy_objective,
    random_model,
    random_policy,
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

# Updates of an environment step, of the policy and of the critic each.
UPDATES = 10
# Transitions of a run, and places of the table that they lie in.
REAL_ROWS, TABLE_ROWS = 10_000, 16_384
ROLLOUT_ROWS = 8192
# Rows whose distances to all others are there at once.
NEIGHBOUR_CHUNK = 500


class Group:
    """A compiled `step(state, reads) -> state`; `each` updates a call."""

    def __init__(self, step, state, reads, each=1):
        self.step, self.state, self.reads, self.each = jax.jit(step, donate_argnums=0), state, reads, each

    def calls(self, times):
        """How many calls make at least so many updates, and how many one makes."""
        return -(-times // self.each), self.each

    def make(self, calls):
        for _ in range(calls):
            self.state = self.step(self.state, self.reads)
        jax.block_until_ready(self.state)


def of_runs(runs, one):
    """What `one(key)` makes, for each run."""
    return jax.vmap(one)(jax.random.split(jax.random.key(0), runs))


def policy_step(layers, moments, reads, start, draws):
    """One step of the policy; every row through every elite, one of which is kept."""
    gradient = jax.grad(policy_objective)(layers, *reads, ALPHA, DISCOUNT, start, draws, not_finite, None)
    return adam(layers, clipped(gradient, POLICY_CLIP), moments, RATE)


def critic_step(trained, targets, moments, policy, noise, batch):
    """One step of critic, targets and temperature."""
    critic, alpha = jax.grad(critic_loss)(trained, targets, policy, noise, *batch)
    trained, moments = adam(trained, (clipped(critic, CRITIC_CLIP), alpha), moments, RATE)
    targets = jax.tree.map(lambda old, new: old + TARGET_RATE * (new - old), targets, trained[0])
    return trained, targets, moments


def policy_draws(key, sizes):
    b, s, a, k = sizes.batch, sizes.states, sizes.actions, sizes.horizon
    noises, elites = jax.random.split(key)
    places = jax.random.randint(elites, (2, k, b), 0, ELITES)
    return Draws(*normals(noises, (k + 1, b, a), (k, b, 1 + s)), *places)


def networks(key, sizes):
    """Policy, critics, and two models, of which the second gives derivatives alone."""
    keys = jax.random.split(key, 4)
    policy, critics = random_policy(keys[0], sizes), random_layers(keys[1], sizes.critic, 2)
    prediction, derivative = (random_model(key, sizes, ELITES) for key in keys[2:])
    return policy, critics, prediction, derivative.mean_only()


def policy_update(sizes, runs, per_call):
    def one(key):
        keys = jax.random.split(key, 3)
        policy, *others = networks(keys[0], sizes)
        start = jax.random.normal(keys[1], (per_call, sizes.batch, sizes.states))
        draws = jax.vmap(partial(policy_draws, sizes=sizes))(jax.random.split(keys[2], per_call))
        return (policy.layers, fresh_adam(policy.layers)), ((policy._replace(layers=None), *others), start, draws)

    def step(state, reads):
        layers, moments = state
        networks, start, draws = reads
        for i in range(per_call):
            layers, moments = policy_step(layers, moments, networks, start[i], jax.tree.map(lambda x: x[i], draws))
        return layers, moments

    return Group(jax.vmap(step), *of_runs(runs, one), per_call)


def random_transitions(key, sizes, rows):
    s, a = sizes.states, sizes.actions
    state, action, reward, next_state = normals(key, (rows, s), (rows, a), (rows,), (rows, s))
    return state, jnp.tanh(action), reward, next_state, jnp.zeros(rows)


def critic_state(policy, critics):
    trained = (critics, jnp.zeros(()))
    return trained, jax.tree.map(jnp.copy, critics), fresh_adam(trained)


def critic_update(sizes, runs, per_call):
    def one(key):
        keys = jax.random.split(key, 3)
        policy, critics, *_ = networks(keys[0], sizes)
        noise = jax.random.normal(keys[1], (per_call, 2, sizes.batch, sizes.actions))
        batches = jax.vmap(lambda key: random_transitions(key, sizes, sizes.batch))(jax.random.split(keys[2], per_call))
        return critic_state(policy, critics), (policy, noise, batches)

    def step(state, reads):
        policy, noise, batches = reads
        for i in range(per_call):
            state = critic_step(*state, policy, noise[i], jax.tree.map(lambda x: x[i], batches))
        return state

    return Group(jax.vmap(step), *of_runs(runs, one), per_call)


class StepUpdates:
    """All updates of an environment step: draws and rows on the device, and the policies come back."""

    def __init__(self, sizes, runs, per_call):
        self.sizes, self.per_call = sizes, per_call
        batch = sizes.batch

        def one(key):
            keys = jax.random.split(key, 3)
            policy, critics, *models = networks(keys[0], sizes)
            of_policy = (policy.layers, fresh_adam(policy.layers))
            return keys[1], of_policy, critic_state(policy, critics), (policy._replace(layers=None), models), random_transitions(
                keys[2], sizes, REAL_ROWS
            )

        def policies(key, state, trained, reads, table):
            (layers, moments), (policy, models) = state, reads
            for _ in range(per_call):
                key, rows, now = jax.random.split(key, 3)
                start = table[0][jax.random.randint(rows, (batch,), 0, REAL_ROWS)]
                reads = (policy, trained[0], *models)
                layers, moments = policy_step(layers, moments, reads, start, policy_draws(now, sizes))
            return key, (layers, moments)

        def critics(key, state, layers, reads, table):
            policy = reads[0]._replace(layers=layers)
            for _ in range(per_call):
                key, rows, now = jax.random.split(key, 3)
                rows = jax.random.randint(rows, (batch,), 0, REAL_ROWS)
                noise = jax.random.normal(now, (2, batch, sizes.actions))
                state = critic_step(*state, policy, noise, tuple(part[rows] for part in table))
            return key, state

        self.policies = jax.jit(jax.vmap(policies), donate_argnums=(0, 1))
        self.critics = jax.jit(jax.vmap(critics), donate_argnums=(0, 1))
        self.key, self.policy, self.critic, self.reads, self.table = of_runs(runs, one)

    def calls(self, times):
        return times, 1

    def make(self, calls):
        for _ in range(calls):
            for _ in range(UPDATES // self.per_call):
                self.key, self.policy = self.policies(self.key, self.policy, self.critic[0], self.reads, self.table)
            for _ in range(UPDATES // self.per_call):
                self.key, self.critic = self.critics(self.key, self.critic, self.policy[0], self.reads, self.table)
            jax.tree.map(numpy.asarray, self.policy[0])
        jax.block_until_ready(self.critic)


def model_step(sizes, runs, directions):
    """A step of all members of an ensemble, on rows of a table: by likelihood, and by R where there are directions."""
    width, labels, batch = sizes.states + sizes.actions, 1 + sizes.states, sizes.batch

    def one(key):
        keys = jax.random.split(key, 4)
        model = random_model(keys[0], sizes)
        table = jax.random.normal(keys[1], (TABLE_ROWS, width + labels))
        rows = jax.random.randint(keys[2], (2, MEMBERS, batch), 0, REAL_ROWS)
        neighbours = jax.random.randint(keys[3], (MEMBERS, batch, directions), 0, REAL_ROWS)
        return (model.layers, fresh_adam(model.layers)), (model._replace(layers=None), table, *rows, neighbours)

    def loss(layers, model, table, rows, own, neighbours):
        inputs, targets = jnp.split(table[rows], [width], axis=-1)
        mean, raw = jnp.split(mlp(layers, model.standardised(inputs), jax.nn.silu), 2, axis=-1)
        log_variance = bounded_log_variance(raw)
        nll = ((mean - targets) ** 2 * jnp.exp(-log_variance) + log_variance).sum() / (batch * labels)
        if not directions:
            return nll
        own, y = jnp.split(table[own], [width], axis=-1)
        other, other_y = jnp.split(table[neighbours], [width], axis=-1)
        along = (other - own[:, :, None]) / model.std
        product = mean_product(layers, model.standardised(own), along)
        return nll + sizes.weight * ((product - (other_y - y[:, :, None])) ** 2).mean()

    def step(state, reads):
        layers, moments = state
        gradient = jax.grad(loss)(layers, *reads)
        gradient = [(w + decay * layer[0], b) for (w, b), layer, decay in zip(gradient, layers, WEIGHT_DECAY)]
        return adam(layers, gradient, moments, MODEL_RATE)

    return Group(jax.vmap(step), *of_runs(runs, one))


def model_forward(sizes, runs):
    def one(key):
        keys = jax.random.split(key, 2)
        s, rows = sizes.states, FORWARD_ROWS
        x, state, noise = normals(keys[0], (rows, s + sizes.actions), (rows, s), (rows, 1 + s))
        answer = (jnp.zeros(rows), jnp.zeros((rows, s)))
        return answer, (random_model(keys[1], sizes, None), x, state, noise)

    def step(_, reads):
        model, x, state, noise = reads
        return sampled_step(mlp(model.layers, model.standardised(x), jax.nn.silu), state, noise)

    return Group(jax.vmap(step), *of_runs(runs, one))


def rollout(sizes, runs):
    """A step of imagined transitions from real states, which stay on the device."""
    rows, s, a = ROLLOUT_ROWS, sizes.states, sizes.actions

    def one(key):
        keys = jax.random.split(key, 3)
        policy, _, prediction, _ = networks(keys[0], sizes)
        answer = (jnp.zeros((rows, a)), jnp.zeros(rows), jnp.zeros((rows, s)))
        return (keys[1], answer), (policy, prediction, jax.random.normal(keys[2], (REAL_ROWS, s)))

    def step(state, reads):
        key, places, elites, now = jax.random.split(state[0], 4)
        policy, prediction, table = reads
        states = table[jax.random.randint(places, (rows,), 0, REAL_ROWS)]
        of_action, of_model = normals(now, (rows, a), (rows, 1 + s))
        action, _ = policy.act(states, of_action)
        drawn = jax.random.randint(elites, (rows,), 0, ELITES)
        outputs = grouped(prediction, jnp.concatenate([states, action], -1), drawn, None)
        return key, (action, *sampled_step(outputs, states, of_model))

    return Group(jax.vmap(step), *of_runs(runs, one))


def neighbours(sizes, runs):
    """The exact neighbours of all rows, anew, one run after the other."""
    table = jax.random.normal(jax.random.key(0), (runs, REAL_ROWS, sizes.states + sizes.actions))

    def of_run(table):
        squares = (table**2).sum(-1)

        def of_chunk(chunk):
            first, own = chunk
            distances = (own**2).sum(-1)[:, None] + squares - 2.0 * own @ table.T
            # No row is its own neighbour.
            here = jnp.arange(NEIGHBOUR_CHUNK)
            distances = distances.at[here, first + here].set(jnp.inf)
            return jax.lax.top_k(-distances, sizes.neighbours)[1]

        firsts = jnp.arange(0, REAL_ROWS, NEIGHBOUR_CHUNK)
        return jax.lax.map(of_chunk, (firsts, table.reshape(-1, NEIGHBOUR_CHUNK, table.shape[-1])))

    lists = jnp.zeros((runs, REAL_ROWS // NEIGHBOUR_CHUNK, NEIGHBOUR_CHUNK, sizes.neighbours), jnp.int32)
    return Group(lambda _, table: jax.lax.map(of_run, table), lists, table)


def build(name, sizes, runs, per_call):
    """A piece for so many runs, on random numbers."""
    if name == "policy_update":
        return policy_update(sizes, runs, per_call)
    if name == "critic_update":
        return critic_update(sizes, runs, per_call)
    if name == "step_updates":
        return StepUpdates(sizes, runs, per_call)
    if name == "likelihood_step":
        return model_step(sizes, runs, 0)
    if name.startswith("gradient_model_step_"):
        return model_step(sizes, runs, int(name.rpartition("_")[2]))
    if name == "model_forward_10k":
        return model_forward(sizes, runs)
    if name == "rollout_8k":
        return rollout(sizes, runs)
    if name == "neighbour_update":
        return neighbours(sizes, runs)
    raise SystemExit(f"no piece '{name}'")
