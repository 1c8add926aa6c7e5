#!/usr/bin/env python3
"""Compares two programs' runs bit for bit: tools/fence.py OLD NEW [--methods sac,ddppo] [--tasks Hopper] [--threads 1,2]

For each method, task and number of threads both train the same short run. Then every tensor and table of the old program's
last checkpoint must stand in the new one's with the same type, shape and bytes (names may differ), and every line of the old
metrics must have the same values (wall-clock times aside). Digests are per machine, so two binaries are compared on one.
"""

import argparse
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

# Saved by the first programs for methods that have no gradient model, and never drawn from.
UNUSED = {("mbpo", "streams/gradient_model"), ("maac", "streams/gradient_model")}
SMALL = """training.warmup_steps=300 training.batch_size=64 evaluation.every_steps=250 evaluation.episodes=2
critic.hidden=32 policy.hidden=32""".split()
MODEL = """model.members=3 model.elites=2 model.hidden=24 rollout.starts=500 rollout.capacity_per_step=2000
training.min_transitions=128""".split()
EXTRA = {
    "sac": [],
    "mbpo": MODEL + ["training.critic_updates_per_step=2"],
    "maac": MODEL + ["training.critic_updates_per_step=2", "training.policy_updates_per_step=2"],
    "ddppo": MODEL + ["training.critic_updates_per_step=2", "training.policy_updates_per_step=2",
                      "gradient_loss.window=400"],
}


def train(program, method, task, threads, folder):
    settings = [word for key in SMALL + EXTRA[method] for word in ("--set", key)]
    subprocess.run([program, "train", task, "--algo", method, "--seed", "3", "--steps", "750", "--threads", str(threads),
                    "--quiet", "--out", folder, *settings], check=True, stdout=subprocess.DEVNULL)


def tensors(file):
    data = file.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    body = data[8 + size:]
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            yield name, (entry["dtype"], tuple(entry["shape"]), body[first:last])


def state(folder):
    checkpoints = folder / "checkpoints"
    newest = max((p for p in checkpoints.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
    return [*tensors(newest / "state.safetensors"), *tables(checkpoints / "rows").items()]


def tables(folder):
    """Tables that grow, whole: programs save at different steps, each time a segment TABLE-FROM-TO-CHECKSUM."""
    segments = [(file.stem.rsplit("-", 3), file) for file in folder.glob("*.safetensors")]
    found = {}
    for (table, _, _, _), file in sorted(segments, key=lambda segment: (segment[0][0], int(segment[0][1]))):
        for _, (kind, (rows, *row), data) in tensors(file):
            _, (before, *_), start = found.get(table, (kind, (0,), b""))
            found[table] = (kind, (before + rows, *row), start + data)
    return found


def metrics(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in lines]


def compare(method, old, new):
    there = [value for _, value in state(new)]
    faults = [f"state: {name}" for name, value in state(old)
              if value not in there and (method, name) not in UNUSED]
    before, after = metrics(old), metrics(new)
    if len(before) != len(after):
        faults.append(f"{len(before)} lines of metrics, now {len(after)}")
    for one, other in zip(before, after):
        changed = [key for key, value in one.items() if other.get(key) != value]
        if changed:
            faults.append(f"metrics, {one['kind']} at {one['step']}: {', '.join(changed)}")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--methods", default="ddppo,sac,mbpo,maac")
    parser.add_argument("--tasks", default="InvertedPendulum,HalfCheetah")
    parser.add_argument("--threads", default="1,2")
    args = parser.parse_args()
    broken = False
    for method in args.methods.split(","):
        for task in args.tasks.split(","):
            for threads in args.threads.split(","):
                with tempfile.TemporaryDirectory() as scratch:
                    folders = [pathlib.Path(scratch) / which for which in ("old", "new")]
                    for program, folder in zip((args.old, args.new), folders):
                        train(program, method, task, threads, folder)
                    faults = compare(method, *folders)
                entries = "equal" if not faults else "; ".join(faults[:8])
                print(f"{method} on {task}, {threads} thread(s): {entries}", flush=True)
                broken |= bool(faults)
    sys.exit(broken)


if __name__ == "__main__":
    main()
