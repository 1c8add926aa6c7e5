#!/usr/bin/env python3
"""Times the four pieces of `ddppo bench` in JAX under jit, on the CPU (README.md beside this file).

    python benches/reference/jax_pieces.py [--task T] [--threads N] [--pieces a,b] [--directions m]

Command line and answers are those of pieces.py.
"""

import contextlib
import os
import sys

import harness


class Jax:
    """Imports JAX only when it is made, since that fixes the number of threads."""

    def __init__(self):
        import jax
        import jax_updates

        self.jax, self.updates = jax, jax_updates
        self.key = jax.random.key(0)

    def build(self, piece, sizes, options):
        if piece == "critic_update":
            return self.updates.critic_update(sizes, self.key)
        if piece == "policy_update":
            return self.updates.policy_update(sizes, self.key)
        if piece == "gradient_model_step":
            return self.updates.gradient_model_step(sizes, options.directions, self.key)
        return self.updates.model_forward(sizes, self.key)

    def multiply(self, count, rows, depth, columns):
        a, b = (self.jax.random.normal(self.key, (count, *size)) for size in ((rows, depth), (depth, columns)))
        product = self.jax.jit(self.jax.numpy.matmul)
        return lambda: product(a, b).block_until_ready()

    def measured(self):
        return contextlib.nullcontext()


def parse(arguments=None):
    parser = harness.parser("JAX")
    options = harness.parse(parser, arguments)
    if not hasattr(os, "sched_setaffinity"):
        parser.error("--threads: JAX's threads are counted by CPU affinity, which this system does not have")
    cpus = len(os.sched_getaffinity(0))
    if options.threads > cpus:
        parser.error(f"--threads {options.threads}: JAX has a thread a CPU, and this process may use {cpus}")
    return options


def main():
    options = parse()
    # XLA has no setting for its threads: it starts one for each CPU that the process may use when JAX is imported.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    os.environ["JAX_PLATFORMS"] = "cpu"
    return harness.answer(Jax(), options)


if __name__ == "__main__":
    sys.exit(main())
