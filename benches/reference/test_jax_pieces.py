#!/usr/bin/env python3
"""The JAX twin computes what docs/algorithm.md says (expected.py), and answers as README.md says.

    .python/jax-bench/bin/python -m unittest discover -s benches/reference -p 'test_jax*.py' -v
"""

import json
import subprocess
import sys
import unittest
from pathlib import Path
from unittest import mock

try:
    import jax
except ModuleNotFoundError:
    # PyTorch's environment, whose tests are found in the same folder.
    raise unittest.SkipTest("this environment has no JAX: run these tests in .python/jax-bench")

import jax.numpy as jnp
import numpy as np

import expected
import jax_networks as networks
import jax_updates as updates
import sizes

SCRIPT = Path(__file__).with_name("jax_pieces.py")


def arrays(layers):
    return [(jnp.asarray(weight), jnp.asarray(bias)) for weight, bias in layers]


def model(name):
    layers, mean, std = expected.model(name)
    return networks.Model(arrays(layers), jnp.asarray(mean), jnp.asarray(std))


class AgainstProbe(unittest.TestCase):
    """f64, tiny networks, the probe's draws."""

    def setUp(self):
        self.enterContext(jax.enable_x64(True))
        self.probe = {name: jnp.asarray(array) for name, array in expected.PROBE.items()}

    def assert_close(self, ours, wanted):
        self.assertEqual(ours.dtype, np.float64)
        wanted = np.asarray(wanted)
        self.assertGreater(np.linalg.norm(wanted), 0.0)
        self.assertLess(np.linalg.norm(np.asarray(ours) - wanted) / np.linalg.norm(wanted), 1e-8)

    def policy(self):
        layers = arrays(expected.layers("policy"))
        return networks.Policy(layers, self.probe["action_scale"], self.probe["action_bias"])

    def policy_gradient(self):
        policy, alive = self.policy(), self.probe["policy_update/alive"]
        names = ("action_noise", "model_noise", "prediction_elites", "gradient_elites")
        return jax.jit(
            lambda layers: updates.policy_gradient(
                layers,
                policy,
                arrays(expected.stacked("critic1", "critic2")),
                model("prediction_model"),
                model("gradient_model").mean_only(),
                float(expected.HEADER["alpha"]),
                float(expected.HEADER["discount"]),
                self.probe["policy_update/start_states"],
                updates.Draws(*(self.probe[f"policy_update/{name}"] for name in names)),
                lambda j, _: 1.0 - alive[j + 1],
            )
        )(policy.layers)

    def test_policy_gradient(self):
        # Slabs that hold all rows, and slabs that do not: every row then goes through every member.
        for capacity in (expected.make_probe.ROWS, 1):
            with mock.patch.object(updates, "capacity_of", lambda rows, members: capacity):
                gradient = self.policy_gradient()
            for l, (weight, bias) in enumerate(gradient):
                self.assert_close(weight, self.probe[f"policy_update/gradient/{l}/weight"])
                self.assert_close(bias, self.probe[f"policy_update/gradient/{l}/bias"])

    def test_critic_gradient(self):
        critics = arrays(expected.stacked("critic1", "critic2"))
        trained, batch = (critics, jnp.asarray(-0.7)), map(jnp.asarray, expected.critic_batch())
        ours, ours_by_log_alpha = jax.jit(jax.grad(updates.critic_loss))(trained, critics, self.policy(), *batch)
        gradients, by_log_alpha = expected.critic_gradients(-0.7)
        for k, gradient in enumerate(gradients):
            for layer, theirs in zip(ours, gradient):
                for one, wanted in zip(layer, theirs):
                    self.assert_close(one[k].reshape(wanted.shape), wanted)
        self.assert_close(ours_by_log_alpha, by_log_alpha)

    def test_gradient_model_loss(self):
        names = ("inputs", "targets", "window_inputs", "directions", "differences")
        data, whole = [self.probe[f"gradient_step/{name}"] for name in names], model("gradient_model")
        loss = jax.jit(jax.value_and_grad(updates.gradient_model_loss, has_aux=True))
        for weight in (0.0, 3.0):
            (value, r), gradient = loss(whole.layers, whole, weight, *data)
            self.assert_close(r, self.probe["gradient_step/r"])
            self.assert_close(value - weight * r, self.probe["gradient_step/nll"].sum())
            for l, layer in enumerate(gradient):
                for kind, ours in zip(("weight", "bias"), layer):
                    for k in range(expected.MEMBERS):
                        wanted = expected.gradient_step(weight, k, l, kind)
                        self.assert_close(ours[k].reshape(wanted.shape), wanted)

    def test_grouping_answers_each_row_by_its_own_member(self):
        ours = model("prediction_model")
        rng = np.random.default_rng(0)
        # Members 1 and 2 alone: an empty group among them.
        x, elites = jnp.asarray(rng.normal(size=(40, ours.mean.shape[0]))), rng.integers(1, 3, 40)
        fullest = int(networks.fullest(jnp.asarray([np.arange(40) % 3, elites]), 3))
        self.assertEqual(fullest, np.bincount(elites).max())
        rows = [
            networks.mlp([(w[e], b[e, 0]) for w, b in ours.layers], ours.standardised(row), jax.nn.silu)
            for e, row in zip(elites, x)
        ]
        for capacity in (fullest, 40, None):
            self.assert_close(networks.grouped(ours, x, jnp.asarray(elites), capacity), jnp.stack(rows))

    def test_adam_is_its_definition(self):
        rng = np.random.default_rng(0)
        ours, gradients = rng.normal(size=5), rng.normal(size=(3, 5))
        parameters, first, second = ours.copy(), np.zeros(5), np.zeros(5)
        state = updates.fresh_adam(ours)
        for t, gradient in enumerate(gradients, start=1):
            ours, state = updates.adam(ours, gradient, state, 0.01)
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            parameters -= 0.01 * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
            self.assert_close(ours, parameters)


class Timing(unittest.TestCase):
    def test_capacity_suffices_nearly_always(self):
        self.assertEqual(networks.capacity_of(256, sizes.ELITES), 72)
        self.assertEqual(networks.capacity_of(5, 3), 5)

    def test_each_update_moves_its_parameters(self):
        small = sizes.Sizes(3, 2, 2, 4, 1.0, batch=8, policy_hidden=(5, 6), model_hidden=(7, 7, 7, 7))
        key = jax.random.key(0)
        pieces = [
            (updates.critic_update(small, key), lambda state: (state[1], state[2])),
            (updates.policy_update(small, key), lambda state: state[1]),
            (updates.gradient_model_step(small, 3, key), lambda state: state[0]),
        ]
        for piece, trained in pieces:
            before = [np.array(leaf) for leaf in jax.tree.leaves(trained(piece.state))]
            piece.run()
            for old, new in zip(before, jax.tree.leaves(trained(piece.state)), strict=True):
                self.assertEqual(new.dtype, np.float32)
                self.assertTrue((old != new).any())
                self.assertTrue(np.isfinite(new).all())

    def test_requests_are_answered_line_by_line(self):
        flags = ["--task", "InvertedPendulum", "--repeat", "3", "--warmup", "1", "--stdin"]
        asked = "policy_update\ncritic_update\nmodel_forward_10k\npolicy_update\n"
        # A process of its own: it fixes the number of its threads.
        command = [sys.executable, str(SCRIPT), *flags]
        done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([line["piece"] for line in lines], asked.split())
        for line in lines:
            keys = {"piece", "task", "threads", "ms_median", "ms_p10", "gflops", "fraction_of_peak"}
            self.assertEqual(set(line), keys)
            self.assertGreater(line["ms_p10"], 0.0)
            self.assertLessEqual(line["ms_p10"], line["ms_median"])

    def test_mistakes_are_named(self):
        for flags, said in [
            (["--pieces", "critic_updat"], "no piece 'critic_updat'"),
            (["--threads", "4096"], "--threads 4096: JAX has a thread a CPU, and this process may use "),
        ]:
            done = subprocess.run([sys.executable, str(SCRIPT), *flags], capture_output=True, text=True)
            self.assertEqual(done.returncode, 2)
            self.assertIn(said, done.stderr)


if __name__ == "__main__":
    unittest.main()
