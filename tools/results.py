#!/usr/bin/env python3
"""Rewrites the table at the head of results/README.md from the numbers below results/: tools/results.py [--check]

A row is a task, a method with its settings, and a step: the mean over seeds of each seed's window, which is its last five evaluations
up to that step, and the deviation of the seeds. With --check nothing is written, and a table that is not up to date is an error.
"""

import csv
import json
import pathlib
import statistics
import sys

HERE = pathlib.Path(__file__).resolve().parent.parent
RESULTS = HERE / "results"
README = RESULTS / "README.md"
BEGIN, END = "<!-- table: tools/results.py -->\n", "<!-- end of table -->\n"
WINDOW = 5
STEPS = [3000, 10_000, 15_000, 20_000, 25_000, 30_000, 50_000]
# Whose published numbers stand beside ours, where they have that step.
BESIDE = ["MBPO", "SAC", "DHMBPO"]
# Searches for a learning rate: they vary settings that their tables do not name.
LEFT_OUT = {"HalfCheetah-alpha-0.1.csv", "HalfCheetah-two-updates.csv", "HalfCheetah-warmup-1000.csv",
            "HalfCheetah-rate-0.001.csv", "independent.csv"}


def runs():
    """{(task, method, settings, seed): {step: return}}; of a run in several files the longest."""
    found = {}

    def take(key, scores):
        if len(scores) > len(found.get(key, {})):
            found[key] = scores

    for path in sorted(RESULTS.rglob("*.csv")):
        if path.name in LEFT_OUT:
            continue
        with path.open(newline="") as file:
            rows = csv.DictReader(file)
            if not {"task", "algorithm", "seed", "step", "return_mean"} <= set(rows.fieldnames or []):
                continue
            here = {}
            for row in rows:
                key = (row["task"], row["algorithm"], row.get("settings") or "", int(row["seed"]))
                here.setdefault(key, {})[int(row["step"])] = float(row["return_mean"])
        for key, scores in here.items():
            take(key, scores)
    for path in sorted(RESULTS.rglob("metrics.jsonl")):
        manifest = json.loads((path.parent / "manifest.json").read_text())
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        scores = {line["step"]: line["return_mean"] for line in lines if line["kind"] == "evaluation"}
        settings = (path.parent / "settings").read_text().strip() if (path.parent / "settings").exists() else ""
        take((manifest["task"], manifest["algorithm"], settings, manifest["seed"]), scores)
    return found


def published():
    lines = (HERE / "src/report/published.csv").read_text().splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    found = {}
    for row in rows:
        key = (row["method"], row["task"], int(row["step"]))
        # Of several sources the one that tells its spread.
        if key not in found or row["return_std"] and not found[key]["return_std"]:
            found[key] = row
    return found


def window(scores, step):
    """Mean of the last evaluations up to `step`; None where the run has no evaluation at it or too few before it."""
    steps = sorted(at for at in scores if at <= step)[-WINDOW:]
    if len(steps) < WINDOW or steps[-1] != step:
        return None
    return statistics.fmean(scores[at] for at in steps)


def rows():
    grouped, known = {}, published()
    for (task, method, settings, seed), scores in runs().items():
        grouped.setdefault((task, method, settings), {})[seed] = scores
    for (task, method, settings), seeds in sorted(grouped.items()):
        for step in STEPS:
            means = [mean for scores in seeds.values() if (mean := window(scores, step)) is not None]
            if not means:
                continue
            spread = f" ± {statistics.pstdev(means):.0f}" if len(means) > 1 else ""
            beside = []
            for name in BESIDE:
                row = known.get((name, task, step))
                if row:
                    deviation = f" ± {float(row['return_std']):.0f}" if row["return_std"] else ""
                    beside.append(f"{name} {float(row['return_mean']):.0f}{deviation}")
            # Names of settings come from run folders.
            settings_shown = settings.replace("|", "/") or "preset"
            yield [task, method, settings_shown, f"{step}", f"{len(means)}", f"{statistics.fmean(means):.0f}{spread}", "; ".join(beside)]


def table():
    lines = ["| task | method | settings | step | seeds | return | published at that step |", "|---|---|---|---|---|---|---|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows()]) + "\n"


def main():
    text = README.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    new = before + BEGIN + "\n" + table() + "\n" + END + after
    if "--check" in sys.argv[1:]:
        if new != text:
            sys.exit("the table in results/README.md is not up to date: run tools/results.py")
    else:
        README.write_text(new)


if __name__ == "__main__":
    main()
