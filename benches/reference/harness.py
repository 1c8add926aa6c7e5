"""The command line of the twins, and what their lines say (README.md beside this file); no framework is imported here.

A twin has `build(piece, sizes, options)`, which gives an object whose `run()` does the piece once and returns when it is
done, `multiply(count, rows, depth, columns)`, which gives a function that does so many products of f32 matrices of these
sizes in one call, and `measured()`, a context for the measured runs.
"""

import argparse
import json
import math
import statistics
import sys
import time

from sizes import PIECES, TASKS, flops

# Products whose best rate is the peak, (count, rows, depth, columns): one that no near cache holds, and those of the pieces.
PEAK_PRODUCTS = (
    (1, 1024, 1024, 1024),
    (1, 256, 256, 256),
    (1, 256, 200, 200),
    (1, 10_000, 200, 200),
    (7, 256, 200, 200),
)
# As many operations of each as five of the first have.
PEAK_OPERATIONS = 5 * 2 * 1024**3


def seconds_each(run, repeat, warmup=0):
    """Seconds of each of `repeat` runs after `warmup` unmeasured ones."""
    for _ in range(warmup):
        run()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


class Bench:
    """Pieces built on their first request, and the peak they are measured against: the best seen so far."""

    def __init__(self, twin, options):
        self.twin, self.options, self.pieces, self.peak = twin, options, {}, 0.0
        self.products = [(2 * math.prod(product), twin.multiply(*product)) for product in PEAK_PRODUCTS]

    def line(self, name, repeat):
        options = self.options
        if name not in self.pieces:
            self.pieces[name] = self.twin.build(name, TASKS[options.task], options)
            seconds_each(self.pieces[name].run, options.warmup)
        # Best products at the current thread count.
        for operations, multiply in self.products:
            seconds = min(seconds_each(multiply, PEAK_OPERATIONS // operations, 1))
            self.peak = max(self.peak, operations / seconds)
        with self.twin.measured():
            times = seconds_each(self.pieces[name].run, repeat)
        median = statistics.median(times)
        rate = flops(name, TASKS[options.task], options.directions) / median
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


def parser(framework):
    """The options that all twins have."""
    options = argparse.ArgumentParser(description=f"Time four pieces of DDPPO in {framework} on the CPU.")
    options.add_argument("--task", choices=TASKS, default="HalfCheetah", help="whose sizes (default HalfCheetah)")
    options.add_argument("--threads", type=positive, default=1, help="CPU threads (default 1)")
    options.add_argument("--pieces", default=",".join(PIECES), help=f"comma-separated (default {','.join(PIECES)})")
    options.add_argument("--directions", type=positive, help="directions a row in R (default: the task's n)")
    options.add_argument("--repeat", type=positive, default=30, help="measured runs a line (default 30)")
    options.add_argument("--warmup", type=positive, default=5, help="unmeasured runs before a piece's first (default 5)")
    options.add_argument("--stdin", action="store_true", help="answer lines of standard input: a piece's name, and how many runs to measure if not --repeat")
    return options


def parse(options, arguments=None):
    """The options, checked."""
    parsed = options.parse_args(arguments)
    parsed.pieces = parsed.pieces.split(",")
    for name in parsed.pieces:
        if name not in PIECES:
            options.error(f"--pieces: no piece '{name}'; there are {', '.join(PIECES)}")
    parsed.directions = parsed.directions or TASKS[parsed.task].neighbours
    return parsed


def answer(twin, options):
    """One JSON object a line and piece, those of --pieces or, with --stdin, those asked for; gives the exit code."""
    bench = Bench(twin, options)
    for request in sys.stdin if options.stdin else options.pieces:
        name, _, repeat = request.strip().partition(" ")
        if name not in PIECES:
            print(f"no piece '{name}'; there are {', '.join(PIECES)}", file=sys.stderr)
            return 2
        print(json.dumps(bench.line(name, positive(repeat) if repeat else options.repeat)), flush=True)
    return 0
