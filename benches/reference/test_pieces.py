#!/usr/bin/env python3
"""The twin computes what SPEC says: its gradients against those of tests/python/make_probe.py, made without autodiff.

    .python/torch/bin/python -m unittest discover -s benches/reference -v
"""

import contextlib
import io
import json
import sys
import unittest
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "python"))

import make_probe
import networks
import pieces
import updates


def tensor(array):
    array = torch.as_tensor(array)
    return array.double() if array.is_floating_point() else array.long()


class AgainstProbe(unittest.TestCase):
    """f64, tiny networks, the probe's draws."""

    @classmethod
    def setUpClass(cls):
        tensors, header = make_probe.make_probe(seed=3)
        cls.probe = {name: tensor(array) for name, array in tensors.items()}
        cls.discount, cls.alpha = float(header["discount"]), float(header["alpha"])

    def layers(self, prefix):
        count = sum(name.startswith(f"{prefix}/") and name.endswith("/weight") for name in self.probe)
        return [
            tuple(self.probe[f"{prefix}/{l}/{kind}"].clone() for kind in ("weight", "bias")) for l in range(count)
        ]

    def stacked(self, *prefixes):
        """Several networks as one ensemble: weight [M, in, out], bias [M, 1, out]."""
        networks_ = [self.layers(prefix) for prefix in prefixes]
        return [
            (torch.stack([w for w, _ in same]), torch.stack([b for _, b in same]).unsqueeze(1))
            for same in zip(*networks_)
        ]

    def model(self, name):
        layers = self.stacked(*(f"{name}/{k}" for k in range(make_probe.MEMBERS)))
        return networks.Model(layers, self.probe[f"{name}/input_mean"], self.probe[f"{name}/input_std"])

    def assert_close(self, ours, expected):
        self.assertGreater(float(expected.norm()), 0.0)
        self.assertLess(float((ours - expected).norm() / expected.norm()), 1e-8)

    def test_policy_gradient(self):
        members = torch.arange(make_probe.MEMBERS)
        prediction = self.model("prediction_model").elites_of(members)
        derivative = self.model("gradient_model").elites_of(members, mean_only=True)
        policy = networks.Policy(
            updates.trainable(self.layers("policy")), self.probe["action_scale"], self.probe["action_bias"]
        )
        names = ("action_noise", "model_noise", "prediction_elites", "gradient_elites")
        draws = updates.Draws(*(self.probe[f"policy_update/{name}"] for name in names))
        alive = self.probe["policy_update/alive"]
        self.assertEqual(sorted({float(m) for m in alive.flatten()}), [0.0, 1.0])
        objective = updates.policy_objective(
            policy,
            self.stacked("critic1", "critic2"),
            prediction,
            derivative,
            self.alpha,
            self.discount,
            self.probe["policy_update/start_states"],
            draws,
            lambda j, _: 1.0 - alive[j + 1],
        )
        objective.backward()
        for l, (weight, bias) in enumerate(policy.layers):
            self.assert_close(weight.grad, self.probe[f"policy_update/gradient/{l}/weight"])
            self.assert_close(bias.grad, self.probe[f"policy_update/gradient/{l}/bias"])

    def test_gradient_model_loss(self):
        names = ("inputs", "targets", "window_inputs", "directions", "differences")
        data = [self.probe[f"gradient_step/{name}"] for name in names]
        for weight in (0.0, 3.0):
            model = self.model("gradient_model")
            updates.trainable(model.layers)
            loss, r = updates.gradient_model_loss(model, weight, *data)
            loss.backward()
            self.assert_close(r.detach(), self.probe["gradient_step/r"])
            self.assert_close((loss - weight * r).detach(), self.probe["gradient_step/nll"].sum())
            for l, layer in enumerate(model.layers):
                for kind, ours in zip(("weight", "bias"), layer):
                    for k in range(make_probe.MEMBERS):
                        expected = self.probe[f"gradient_step/nll_gradient/{k}/{l}/{kind}"]
                        expected = expected + weight * self.probe[f"gradient_step/r_gradient/{k}/{l}/{kind}"]
                        self.assert_close(ours.grad[k].reshape(expected.shape), expected)

    def test_forward_product_is_the_jacobians(self):
        model = self.model("gradient_model")
        x, v = self.probe["gradient_step/window_inputs"], self.probe["gradient_step/directions"]
        ours = networks.mean_product(model.layers, x, v)
        half = ours.shape[-1]
        for k in range(make_probe.MEMBERS):
            member = [(weight[k], bias[k, 0]) for weight, bias in model.layers]
            for row in range(x.shape[1]):
                jacobian = torch.autograd.functional.jacobian(
                    lambda z, member=member: networks.mlp(member, z, F.silu)[0, :half], x[k, row : row + 1]
                )
                self.assert_close(ours[k, row], v[k, row] @ jacobian[:, 0].T)

    def test_grouping_answers_each_row_by_its_own_member(self):
        model = self.model("prediction_model")
        torch.manual_seed(0)
        x = torch.randn(40, model.mean.shape[0], dtype=torch.float64)
        # Members 1 and 2 alone: an empty group among them.
        elites = torch.randint(1, 3, (40,))
        rows = [
            networks.mlp([(w[e], b[e, 0]) for w, b in model.layers], model.standardised(row[None]), F.silu)
            for e, row in zip(elites, x)
        ]
        self.assert_close(networks.grouped(model, x, elites), torch.cat(rows))


class Timing(unittest.TestCase):
    def test_each_update_moves_its_parameters(self):
        sizes = updates.Sizes(3, 2, 2, 4, 1.0, batch=8, policy_hidden=(5, 6), model_hidden=(7, 7, 7, 7))
        critic, policy = updates.CriticUpdate(sizes), updates.PolicyUpdate(sizes)
        step = updates.GradientModelStep(sizes, 3)
        for update, layers in [(critic, critic.critics), (policy, policy.policy.layers), (step, step.model.layers)]:
            before = [tensor.detach().clone() for tensor in networks.parameters(layers)]
            update.run()
            for old, new in zip(before, networks.parameters(layers)):
                self.assertTrue(bool((old != new).any()))
                self.assertTrue(bool(torch.isfinite(new).all()))
        self.assertNotEqual(critic.log_alpha.item(), 0.0)

    def test_operations_are_counted(self):
        sizes = updates.TASKS["HalfCheetah"]
        # 23·200 + 3·200² + 200·36 multiply-adds a row.
        self.assertEqual(updates.ModelForward(sizes).flops(), 2 * 10_000 * 131_800)
        # A critic row forward is 23·256 + 256² + 256, a policy row 17·256 + 256² + 256·12.
        critic = 2 * (4 * 71_680 - 23 * 256)
        self.assertEqual(updates.CriticUpdate(sizes).flops(), 2 * 256 * (2 * 72_960 + critic))
        one, five = (updates.GradientModelStep(sizes, m).flops() for m in (1, 5))
        self.assertEqual(five - one, 4 * 2 * 7 * 256 * (3 * (23 * 200 + 3 * 200**2 + 200 * 18) - 23 * 200))

    def test_requests_are_answered_line_by_line(self):
        flags = ["pieces.py", "--task", "InvertedPendulum", "--repeat", "3", "--warmup", "1", "--stdin"]
        asked = "policy_update\ncritic_update\npolicy_update\n"
        out, threads = io.StringIO(), torch.get_num_threads()
        with mock.patch.object(sys, "argv", flags), mock.patch.object(sys, "stdin", io.StringIO(asked)):
            with contextlib.redirect_stdout(out):
                self.assertEqual(pieces.main(), 0)
        torch.set_num_threads(threads)
        lines = [json.loads(line) for line in out.getvalue().splitlines()]
        self.assertEqual([line["piece"] for line in lines], asked.split())
        for line in lines:
            keys = {"piece", "task", "threads", "ms_median", "ms_p10", "gflops", "fraction_of_peak"}
            self.assertEqual(set(line), keys)
            self.assertGreater(line["ms_p10"], 0.0)
            self.assertLessEqual(line["ms_p10"], line["ms_median"])

    def test_an_unknown_piece_is_named(self):
        with contextlib.redirect_stderr(io.StringIO()) as err, self.assertRaises(SystemExit) as stop:
            pieces.parse(["--pieces", "critic_updat"])
        self.assertEqual(stop.exception.code, 2)
        self.assertIn("critic_updat", err.getvalue())


if __name__ == "__main__":
    unittest.main()
