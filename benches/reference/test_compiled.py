#!/usr/bin/env python3
"""torch.compile changes no number of the PyTorch twin, and compiles each piece once. Two minutes the first time.

    .python/torch/bin/python -m unittest discover -s benches/reference -v
"""

import unittest

import torch

import networks
import sizes
import updates

SMALL = sizes.Sizes(3, 2, 2, 4, 1.0, batch=40, policy_hidden=(12, 10), model_hidden=(14, 14, 14, 14))


class CompiledIsEager(unittest.TestCase):
    """The same seeds for both twins; rates of 0, so that rounding does not add up over runs."""

    def compare(self, build, trained):
        twins = []
        for compiled in (False, True):
            torch.manual_seed(1)
            twins.append(build(compiled))
            for group in twins[-1].optimiser.param_groups:
                group["lr"] = 0.0
        eager, compiled = twins
        for seed in range(6):
            for twin in twins:
                torch.manual_seed(seed)
                # As in the timed runs, all but the first must not compile.
                with torch.compiler.set_stance("default" if seed == 0 else "fail_on_recompile"):
                    twin.run()
            for wanted, ours in zip(trained(eager), trained(compiled), strict=True):
                self.assertGreater(float(wanted.grad.norm()), 0.0)
                self.assertLess(float((ours.grad - wanted.grad).norm() / wanted.grad.norm()), 1e-4)

    def test_critic_update(self):
        self.compare(
            lambda compiled: updates.CriticUpdate(SMALL, compiled=compiled),
            lambda twin: [*networks.parameters(twin.critics), twin.log_alpha],
        )

    def test_policy_update(self):
        capacities = set()
        for seed in range(6):
            torch.manual_seed(seed)
            torch.randn(3, 40, 2), torch.randn(2, 40, 4)
            capacities.add(networks.fullest(torch.randint(sizes.ELITES, (4, 40)), sizes.ELITES))
        # Otherwise a graph for one capacity would do.
        self.assertGreater(len(capacities), 1)
        self.compare(
            lambda compiled: updates.PolicyUpdate(SMALL, compiled=compiled),
            lambda twin: networks.parameters(twin.policy.layers),
        )

    def test_gradient_model_step(self):
        self.compare(
            lambda compiled: updates.GradientModelStep(SMALL, 3, compiled=compiled),
            lambda twin: networks.parameters(twin.model.layers),
        )

    def test_model_forward(self):
        answers = []
        for compiled in (False, True):
            torch.manual_seed(1)
            reward, state = updates.ModelForward(SMALL, compiled).run()
            answers.append(torch.cat([reward.unsqueeze(1), state], dim=1))
        eager, compiled = answers
        self.assertEqual(eager.shape, (sizes.FORWARD_ROWS, 4))
        self.assertLess(float((compiled - eager).norm() / eager.norm()), 1e-5)


if __name__ == "__main__":
    unittest.main()
