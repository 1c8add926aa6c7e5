#!/usr/bin/env python3
"""The PyTorch twin computes what docs/algorithm.md says (expected.py), and answers as README.md says.

    .python/torch/bin/python -m unittest discover -s benches/reference -v
"""

import contextlib
import io
import json
import sys
import unittest
from unittest import mock

import torch
import torch.nn.functional as F

import expected
import harness
import networks
import pieces
import sizes
import updates


def tensor(array):
    array = torch.as_tensor(array)
    return array.double().clone() if array.is_floating_point() else array.long()


def tensors(layers):
    return [(tensor(weight), tensor(bias)) for weight, bias in layers]


PROBE = {name: tensor(array) for name, array in expected.PROBE.items()}


def model(name):
    layers, mean, std = expected.model(name)
    return networks.Model(tensors(layers), tensor(mean), tensor(std))


class AgainstProbe(unittest.TestCase):
    """f64, tiny networks, the probe's draws."""

    def assert_close(self, ours, wanted):
        self.assertGreater(float(wanted.norm()), 0.0)
        self.assertLess(float((ours - wanted).norm() / wanted.norm()), 1e-8)

    def policy(self):
        layers = updates.trainable(tensors(expected.layers("policy")))
        return networks.Policy(layers, PROBE["action_scale"], PROBE["action_bias"])

    def test_policy_gradient(self):
        members = torch.arange(expected.MEMBERS)
        prediction = model("prediction_model").elites_of(members)
        derivative = model("gradient_model").elites_of(members, mean_only=True)
        policy = self.policy()
        noises = [PROBE[f"policy_update/{name}"] for name in ("action_noise", "model_noise")]
        elites = [PROBE[f"policy_update/{name}"] for name in ("prediction_elites", "gradient_elites")]
        draws = updates.Draws(*noises, *([networks.route(e, expected.MEMBERS) for e in lines] for lines in elites))
        alive = PROBE["policy_update/alive"]
        self.assertEqual(sorted({float(m) for m in alive.flatten()}), [0.0, 1.0])
        objective = updates.policy_objective(
            policy,
            tensors(expected.stacked("critic1", "critic2")),
            prediction,
            derivative,
            float(expected.HEADER["alpha"]),
            float(expected.HEADER["discount"]),
            PROBE["policy_update/start_states"],
            draws,
            lambda j, _: 1.0 - alive[j + 1],
        )
        objective.backward()
        for l, (weight, bias) in enumerate(policy.layers):
            self.assert_close(weight.grad, PROBE[f"policy_update/gradient/{l}/weight"])
            self.assert_close(bias.grad, PROBE[f"policy_update/gradient/{l}/bias"])

    def test_critic_gradient(self):
        critics = updates.trainable(tensors(expected.stacked("critic1", "critic2")))
        log_alpha = torch.tensor(-0.7, dtype=torch.float64, requires_grad=True)
        batch = (tensor(array) for array in expected.critic_batch())
        updates.critic_loss(critics, networks.detached(critics), self.policy(), log_alpha, *batch).backward()
        gradients, by_log_alpha = expected.critic_gradients(-0.7)
        for k, gradient in enumerate(gradients):
            for ours, theirs in zip(critics, gradient):
                for one, wanted in zip(ours, theirs):
                    self.assert_close(one.grad[k].reshape(wanted.shape), tensor(wanted))
        self.assert_close(log_alpha.grad, tensor(by_log_alpha))

    def test_gradient_model_loss(self):
        names = ("inputs", "targets", "window_inputs", "directions", "differences")
        data = [PROBE[f"gradient_step/{name}"] for name in names]
        for weight in (0.0, 3.0):
            ours = model("gradient_model")
            updates.trainable(ours.layers)
            loss, r = updates.gradient_model_loss(ours, weight, *data)
            loss.backward()
            self.assert_close(r.detach(), PROBE["gradient_step/r"])
            self.assert_close((loss - weight * r).detach(), PROBE["gradient_step/nll"].sum())
            for l, layer in enumerate(ours.layers):
                for kind, one in zip(("weight", "bias"), layer):
                    for k in range(expected.MEMBERS):
                        wanted = tensor(expected.gradient_step(weight, k, l, kind))
                        self.assert_close(one.grad[k].reshape(wanted.shape), wanted)

    def test_forward_product_is_the_jacobians(self):
        ours = model("gradient_model")
        x, v = PROBE["gradient_step/window_inputs"], PROBE["gradient_step/directions"]
        product = networks.mean_product(ours.layers, x, v)
        half = product.shape[-1]
        for k in range(expected.MEMBERS):
            member = [(weight[k], bias[k, 0]) for weight, bias in ours.layers]
            for row in range(x.shape[1]):
                jacobian = torch.autograd.functional.jacobian(
                    lambda z, member=member: networks.mlp(member, z, F.silu)[0, :half], x[k, row : row + 1]
                )
                self.assert_close(product[k, row], v[k, row] @ jacobian[:, 0].T)

    def test_grouping_answers_each_row_by_its_own_member(self):
        ours = model("prediction_model")
        torch.manual_seed(0)
        x = torch.randn(40, ours.mean.shape[0], dtype=torch.float64)
        # Members 1 and 2 alone: an empty group among them.
        elites = torch.randint(1, 3, (40,))
        rows = [
            networks.mlp([(w[e], b[e, 0]) for w, b in ours.layers], ours.standardised(row[None]), F.silu)
            for e, row in zip(elites, x)
        ]
        fullest = networks.fullest(torch.stack([torch.arange(40) % 3, elites]), 3)
        self.assertEqual(fullest, int(elites.bincount().max()))
        for capacity in (None, fullest + 3):
            route = networks.route(elites, 3, capacity)
            self.assert_close(networks.grouped(ours, x, route), torch.cat(rows))


class Timing(unittest.TestCase):
    def test_each_update_moves_its_parameters(self):
        small = sizes.Sizes(3, 2, 2, 4, 1.0, batch=8, policy_hidden=(5, 6), model_hidden=(7, 7, 7, 7))
        critic, policy = updates.CriticUpdate(small), updates.PolicyUpdate(small)
        step = updates.GradientModelStep(small, 3)
        for update, layers in [(critic, critic.critics), (policy, policy.policy.layers), (step, step.model.layers)]:
            before = [tensor.detach().clone() for tensor in networks.parameters(layers)]
            update.run()
            for old, new in zip(before, networks.parameters(layers)):
                self.assertTrue(bool((old != new).any()))
                self.assertTrue(bool(torch.isfinite(new).all()))
        self.assertNotEqual(critic.log_alpha.item(), 0.0)

    def test_operations_are_counted(self):
        cheetah = sizes.TASKS["HalfCheetah"]
        # 23·200 + 3·200² + 200·36 multiply-adds a row.
        self.assertEqual(sizes.flops("model_forward_10k", cheetah, 5), 2 * 10_000 * 131_800)
        # A critic row forward is 23·256 + 256² + 256, a policy row 17·256 + 256² + 256·12.
        critic = 2 * (4 * 71_680 - 23 * 256)
        self.assertEqual(sizes.flops("critic_update", cheetah, 5), 2 * 256 * (2 * 72_960 + critic))
        self.assertEqual(sizes.flops("policy_update", cheetah, 5), 1_189_113_856)
        one, five = (sizes.flops("gradient_model_step", cheetah, m) for m in (1, 5))
        self.assertEqual(five - one, 4 * 2 * 7 * 256 * (3 * (23 * 200 + 3 * 200**2 + 200 * 18) - 23 * 200))
        self.assertEqual(five, 9_533_440_000)

    def test_requests_are_answered_line_by_line(self):
        flags = ["pieces.py", "--task", "InvertedPendulum", "--repeat", "3", "--warmup", "1", "--stdin"]
        asked = ["policy_update", "critic_update 7", "policy_update"]
        out, threads = io.StringIO(), torch.get_num_threads()
        with mock.patch.object(sys, "argv", flags), mock.patch.object(sys, "stdin", io.StringIO("\n".join(asked))):
            with contextlib.redirect_stdout(out), mock.patch("harness.seconds_each", wraps=harness.seconds_each) as timed:
                self.assertEqual(pieces.main(), 0)
        torch.set_num_threads(threads)
        # Beside the measured runs one of warming up, and five products.
        self.assertEqual([call.args[1] for call in timed.call_args_list if call.args[1] in (3, 7)], [3, 7, 3])
        lines = [json.loads(line) for line in out.getvalue().splitlines()]
        self.assertEqual([line["piece"] for line in lines], [line.split()[0] for line in asked])
        for line in lines:
            keys = {"piece", "task", "threads", "ms_median", "ms_p10", "gflops", "fraction_of_peak"}
            self.assertEqual(set(line), keys)
            self.assertGreater(line["ms_p10"], 0.0)
            self.assertLessEqual(line["ms_p10"], line["ms_median"])

    def refusal(self, *arguments):
        with contextlib.redirect_stderr(io.StringIO()) as err, self.assertRaises(SystemExit) as stop:
            pieces.parse(list(arguments))
        self.assertEqual(stop.exception.code, 2)
        return err.getvalue()

    def test_an_unknown_piece_is_named(self):
        self.assertIn("critic_updat", self.refusal("--pieces", "critic_updat"))

    def test_a_missing_compiler_is_named(self):
        with mock.patch.dict("os.environ", CXX="no-such-compiler"):
            self.assertIn("there is no no-such-compiler", self.refusal("--compile"))


if __name__ == "__main__":
    unittest.main()
