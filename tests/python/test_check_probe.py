#!/usr/bin/env python3
"""Shows that check_probe.py accepts right gradients, made without autodiff, and rejects wrong ones.

    .python/jax/bin/python -m unittest discover -s tests/python -v
"""

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path

import numpy as np

import check_probe
import make_probe


class CheckProbe(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tensors, cls.header = make_probe.make_probe(seed=1)
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)

    def check(self, tensors, header, *flags, dtype=np.float64):
        """Exit code, standard output's objects, standard error."""
        path = str(Path(self.folder.name) / "probe.safetensors")
        make_probe.write_probe(path, tensors, header, dtype=dtype)
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            code = check_probe.main([path, *flags])
        return code, [json.loads(line) for line in out.getvalue().splitlines()], err.getvalue()

    def with_wrong(self, name, change):
        wrong = dict(self.tensors)
        wrong[name] = change(wrong[name].copy())
        return wrong

    def test_right_gradients_pass(self):
        for seed, source in [(1, "gradient_model"), (2, "prediction_model")]:
            for states in ("recomputed", "recorded"):
                with self.subTest(source=source, states=states):
                    probe = make_probe.make_probe(seed, source)
                    code, lines, _ = self.check(*probe, "--tolerance", "1e-7", "--states", states)
                    self.assertEqual(code, 0, lines[-1])
                    self.assertLess(lines[-1]["maximum"], 1e-7)
                    reported = {line["name"] for line in lines[:-1]}
                    gradients = {name for name in self.tensors if "gradient/" in name}
                    self.assertGreater(len(gradients), 20)
                    self.assertLessEqual(gradients, reported)

    def test_single_precision_passes_at_its_own_tolerance(self):
        code, lines, _ = self.check(self.tensors, self.header, "--tolerance", "1e-5", dtype=np.float32)
        self.assertEqual(code, 0, lines[-1])
        self.assertGreater(lines[-1]["maximum"], 1e-9)

    def test_one_wrong_number_is_caught_and_named(self):
        path = str(Path(self.folder.name) / "whole.safetensors")
        make_probe.write_probe(path, self.tensors, self.header)
        probe = check_probe.Probe(path)
        reference = check_probe.recompute(probe, "recomputed")
        # R does not depend on the last bias: its gradient is zero and has no largest entry.
        results = [name for name in reference if np.any(self.tensors[name])]
        self.assertGreater(len(results), 40)
        for name in results:
            with self.subTest(name=name):
                tensor = np.array(self.tensors[name], dtype=np.float64)
                largest = np.unravel_index(np.argmax(np.abs(tensor)), tensor.shape)
                tensor[largest] *= 1.01
                probe.tensors[name] = tensor
                worst, error, _ = max(check_probe.compare(probe, reference), key=lambda line: line[1])
                probe.tensors[name] = self.tensors[name]
                self.assertEqual(worst, name)
                self.assertGreater(error, 1e-4)

    def test_the_discount_slip_of_the_authors_loop_is_caught(self):
        """γ^j applied to the adjoint a second time (docs/algorithm.md, "How the paper was read")."""
        discount = float(self.header["discount"])
        slipped = self.with_wrong("policy_update/adjoints", lambda t: t * discount ** np.arange(len(t))[:, None, None])
        code, lines, _ = self.check(slipped, self.header)
        self.assertEqual((code, lines[-1]["at"]), (1, "policy_update/adjoints"))

    def test_not_a_number_is_caught(self):
        def spoil(tensor):
            tensor.flat[0] = np.nan
            return tensor

        code, lines, _ = self.check(self.with_wrong("policy_update/gradient/1/weight", spoil), self.header)
        self.assertEqual(code, 1)
        self.assertEqual(lines[-1], {"maximum": None, "at": "policy_update/gradient/1/weight", "tolerance": 1e-4})

    def test_the_other_models_derivatives_are_caught(self):
        """A probe that claims the prediction model's derivatives and holds the gradient model's."""
        code, lines, _ = self.check(self.tensors, self.header | {"gradient_source": "prediction_model"})
        self.assertEqual(code, 1)
        self.assertGreater(lines[-1]["maximum"], 0.01)

    def test_an_unusable_file_is_named(self):
        missing = {name: tensor for name, tensor in self.tensors.items() if name != "policy_update/alive"}
        code, lines, message = self.check(missing, self.header)
        self.assertEqual((code, lines), (2, []))
        self.assertIn("policy_update/alive", message)

        code, _, message = self.check(self.with_wrong("gradient_step/targets", lambda t: t[:, 1:]), self.header)
        self.assertEqual(code, 2)
        self.assertIn("gradient_step/targets", message)

        with contextlib.redirect_stderr(io.StringIO()):
            self.assertEqual(check_probe.main([str(Path(self.folder.name) / "absent.safetensors")]), 2)


if __name__ == "__main__":
    unittest.main()
