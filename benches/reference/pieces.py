#!/usr/bin/env python3
"""Times the four pieces of `ddppo bench` in eager PyTorch, on the CPU (README.md beside this file).

    python benches/reference/pieces.py [--task T] [--threads N] [--pieces a,b] [--directions m]

One JSON object a line and piece, with the keys of `ddppo bench --json`. With --stdin, piece names are read from
standard input, one a line, and each is answered by one line: whoever holds the other end can alternate with it.
"""

import argparse
import json
import os
import statistics
import sys
import time

# Before torch is imported: the number of CPU threads is fixed by the flag, not by the surroundings.
os.environ.pop("OMP_NUM_THREADS", None)

import torch

from updates import TASKS, CriticUpdate, GradientModelStep, ModelForward, PolicyUpdate

PIECES = ("critic_update", "policy_update", "gradient_model_step", "model_forward_10k")
PEAK_SIZE = 1024


def build(piece, sizes, directions, fused):
    if piece == "critic_update":
        return CriticUpdate(sizes, fused)
    if piece == "policy_update":
        return PolicyUpdate(sizes, fused)
    if piece == "gradient_model_step":
        return GradientModelStep(sizes, directions, fused)
    return ModelForward(sizes)


def seconds_each(run, repeat, warmup):
    """Seconds of each of `repeat` runs after `warmup` unmeasured ones."""
    for _ in range(warmup):
        run()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def sgemm_peak():
    """FLOP/s of the best of 5 products of two 1024 × 1024 f32 matrices at the current thread count."""
    a, b, out = (torch.randn(PEAK_SIZE, PEAK_SIZE) for _ in range(3))
    return 2.0 * PEAK_SIZE**3 / min(seconds_each(lambda: torch.mm(a, b, out=out), 5, 1))


class Bench:
    """Pieces built on their first request, and the peak they are measured against: the best seen so far."""

    def __init__(self, options):
        self.options, self.pieces, self.peak = options, {}, 0.0

    def line(self, name):
        options = self.options
        warmup = 0
        if name not in self.pieces:
            self.pieces[name] = build(name, TASKS[options.task], options.directions, not options.plain_adam)
            warmup = options.warmup
        piece = self.pieces[name]
        self.peak = max(self.peak, sgemm_peak())
        times = seconds_each(piece.run, options.repeat, warmup)
        median = statistics.median(times)
        rate = piece.flops() / median
        return {
            "piece": name,
            "task": options.task,
            "threads": options.threads,
            "ms_median": 1e3 * median,
            "ms_p10": 1e3 * sorted(times)[len(times) // 10],
            "gflops": rate / 1e9,
            "fraction_of_peak": rate / self.peak,
        }


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return value


def parse(arguments=None):
    parser = argparse.ArgumentParser(description="Time four pieces of DDPPO in eager PyTorch on the CPU.")
    parser.add_argument("--task", choices=TASKS, default="HalfCheetah", help="whose sizes (default HalfCheetah)")
    parser.add_argument("--threads", type=positive, default=1, help="CPU threads (default 1)")
    parser.add_argument("--pieces", default=",".join(PIECES), help=f"comma-separated (default {','.join(PIECES)})")
    parser.add_argument("--directions", type=positive, help="directions a row in R (default: the task's n)")
    parser.add_argument("--repeat", type=positive, default=30, help="measured runs a line (default 30)")
    parser.add_argument("--warmup", type=positive, default=5, help="unmeasured runs before a piece's first (default 5)")
    parser.add_argument("--plain-adam", action="store_true", help="PyTorch's default Adam in place of the fused one")
    parser.add_argument("--stdin", action="store_true", help="answer piece names read from standard input")
    options = parser.parse_args(arguments)
    options.pieces = options.pieces.split(",")
    for name in options.pieces:
        if name not in PIECES:
            parser.error(f"--pieces: no piece '{name}'; there are {', '.join(PIECES)}")
    options.directions = options.directions or TASKS[options.task].neighbours
    return options


def main():
    options = parse()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    bench = Bench(options)
    requests = (line.strip() for line in sys.stdin) if options.stdin else options.pieces
    for name in requests:
        if name not in PIECES:
            print(f"no piece '{name}'; there are {', '.join(PIECES)}", file=sys.stderr)
            return 2
        print(json.dumps(bench.line(name)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
