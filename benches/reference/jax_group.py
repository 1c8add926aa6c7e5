#!/usr/bin/env python3
"""Times the programs of `ddppo bench --device` in JAX under jit, for many runs at once by vmap (README.md beside this file).

    python benches/reference/jax_group.py --platform cpu|gpu [--task T] [--threads N] [--tf32]

The first line of the answer names the device. Each line of standard input asks for `PIECE RUNS TIMES PER_CALL`, and the answer is the mean
time of one of TIMES, in milliseconds; the first of a piece compiles it, with PER_CALL updates a compiled call where the piece is an update.
"""

import argparse
import json
import os
import sys
import time

from sizes import TASKS

PIECES = (
    "policy_update",
    "critic_update",
    "step_updates",
    "likelihood_step",
    "gradient_model_step_M",
    "model_forward_10k",
    "rollout_8k",
    "neighbour_update",
)


def parse():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--task", choices=TASKS, default="HalfCheetah")
    options.add_argument("--platform", choices=("cpu", "gpu"), default="cpu")
    options.add_argument("--threads", type=int, default=1, help="CPU threads, where the platform is cpu")
    options.add_argument("--tf32", action="store_true", help="products in TF32")
    return options.parse_args()


def main():
    options = parse()
    if options.platform == "cpu":
        # XLA starts a thread for each CPU that the process may use when JAX is imported.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
        os.environ["JAX_PLATFORMS"] = "cpu"
    else:
        # The other side uses the same card.
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    import jax

    if jax.default_backend() != options.platform:
        print(f"JAX finds no {options.platform}: it would run on {jax.default_backend()}", file=sys.stderr)
        return 2
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if options.tf32 else "float32")
    import jax_group_updates

    print(json.dumps({"device": jax.devices()[0].device_kind, "version": jax.__version__}), flush=True)
    built, of_runs = {}, None
    for request in sys.stdin:
        name, *numbers = request.split()
        runs, times, per_call = map(int, numbers)
        if runs != of_runs:
            # The arrays of another number of runs make room.
            built, of_runs = {}, runs
        if name not in built:
            built[name] = jax_group_updates.build(name, TASKS[options.task], runs, per_call)
            built[name].make(1)
        calls, each = built[name].calls(times)
        started = time.perf_counter()
        built[name].make(calls)
        print(json.dumps({"ms": 1e3 * (time.perf_counter() - started) / (calls * each)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
