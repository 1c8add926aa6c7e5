"""The harness with a twin of no framework: what is asked for is measured, as often as it is asked for."""

import argparse
import contextlib
import io
import json
import sys
import unittest
from unittest import mock

import harness


class Twin:
    """Counts what it is asked to do."""

    def __init__(self):
        self.runs, self.products, self.inside = 0, {}, False

    def build(self, piece, sizes, options):
        return self

    def run(self):
        self.runs += self.inside

    def multiply(self, *product):
        self.products[product] = 0

        def multiply():
            self.products[product] += 1

        return multiply

    @contextlib.contextmanager
    def measured(self):
        self.inside = True
        yield
        self.inside = False


def ask(lines, **settings):
    defaults = dict(task="Hopper", threads=1, directions=2, repeat=30, warmup=1, stdin=True, pieces=[])
    options = argparse.Namespace(**{**defaults, **settings})
    twin, out = Twin(), io.StringIO()
    with mock.patch.object(sys, "stdin", io.StringIO("\n".join(lines))), contextlib.redirect_stdout(out):
        with contextlib.redirect_stderr(io.StringIO()):
            code = harness.answer(twin, options)
    return twin, code, [json.loads(line) for line in out.getvalue().splitlines()]


class Harness(unittest.TestCase):
    def test_as_many_runs_are_measured_as_are_asked_for(self):
        for lines, runs in [(["critic_update 7"], 7), (["critic_update"], 30), (["critic_update 3", "policy_update 4"], 7)]:
            twin, code, answers = ask(lines)
            self.assertEqual((code, twin.runs, len(answers)), (0, runs, len(lines)))

    def test_a_peak_is_of_as_much_work_of_every_product(self):
        twin, _, answers = ask(["critic_update 2"])
        self.assertEqual(set(twin.products), set(harness.PEAK_PRODUCTS))
        for (count, rows, depth, columns), times in twin.products.items():
            work = 2 * count * rows * depth * columns * (times - 1)
            self.assertTrue(0.9 < work / harness.PEAK_OPERATIONS <= 1, (rows, times))
        self.assertGreater(answers[0]["fraction_of_peak"], 0.0)

    def test_no_piece_of_that_name(self):
        self.assertEqual(ask(["nonsense 3"])[1], 2)


if __name__ == "__main__":
    unittest.main()
