#!/usr/bin/env python3
"""Times the four pieces of `ddppo bench` in PyTorch, eager or compiled, on the CPU (README.md beside this file).

    python benches/reference/pieces.py [--compile] [--task T] [--threads N] [--pieces a,b] [--directions m]

One JSON object a line and piece, with the keys of `ddppo bench --json`. With --stdin, piece names are read from
standard input, one a line, and each is answered by one line: whoever holds the other end can alternate with it.
"""

import contextlib
import logging
import os
import shutil
import sys

import harness

# Before torch is imported: the number of CPU threads is fixed by the flag, not by the surroundings.
os.environ.pop("OMP_NUM_THREADS", None)
# A pool of compiling processes would stand by while we are timed.
os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
# It says that triton, left out on purpose, is missing.
logging.getLogger("torch.utils.flop_counter").setLevel(logging.ERROR)

import torch

import updates


class PyTorch:
    def __init__(self, compiled):
        self.compiled = compiled

    def build(self, piece, sizes, options):
        fused = not options.plain_adam
        if piece == "critic_update":
            return updates.CriticUpdate(sizes, fused, self.compiled)
        if piece == "policy_update":
            return updates.PolicyUpdate(sizes, fused, self.compiled)
        if piece == "gradient_model_step":
            return updates.GradientModelStep(sizes, options.directions, fused, self.compiled)
        return updates.ModelForward(sizes, self.compiled)

    def multiply(self, count, rows, depth, columns):
        a, b = torch.randn(count, rows, depth), torch.randn(count, depth, columns)
        out = torch.empty(count, rows, columns)
        if count == 1:
            a, b, out = a[0], b[0], out[0]
        return lambda: torch.matmul(a, b, out=out)

    def measured(self):
        """No compilation is timed: one would be an error."""
        return torch.compiler.set_stance("fail_on_recompile") if self.compiled else contextlib.nullcontext()


def parse(arguments=None):
    parser = harness.parser("PyTorch")
    parser.add_argument("--compile", action="store_true", help="through torch.compile (needs a C++ compiler)")
    parser.add_argument("--plain-adam", action="store_true", help="PyTorch's default Adam in place of the fused one")
    options = harness.parse(parser, arguments)
    compiler = os.environ.get("CXX", "g++")
    if options.compile and shutil.which(compiler) is None:
        parser.error(f"--compile: torch.compile needs a C++ compiler, and there is no {compiler} (set CXX)")
    return options


def main():
    options = parse()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    return harness.answer(PyTorch(options.compile), options)


if __name__ == "__main__":
    sys.exit(main())
