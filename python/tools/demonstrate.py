"""What takes too long for the suite: the numbers and tables of docs/python.md.

    python demonstrate.py pendulum        InvertedPendulum by one call, to 950
    python demonstrate.py killed          gymnasium's Hopper-v5 for 2000 steps, killed twice, and resumed to the same bits
    python demonstrate.py speed           steps per second, gymnasium's Hopper against the program's own, and where the time goes
    python demonstrate.py environments    ten environments of PyPI's packages, tried

Needs the package, `gymnasium[mujoco]`, and for the last `gymnasium[box2d]`, `shimmy[dm-control]` and `gymnasium-robotics`; what is not installed
is said. `--settings small` has networks of 32 units, for a machine without time.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import ddppo

SMALL = {
    "training.policy_updates_per_step": 2, "training.critic_updates_per_step": 2, "model.members": 2, "model.elites": 2,
    "model.hidden": 32, "model.layers": 2, "model.weight_decay": [0, 0, 0], "model.patience_epochs": 2, "policy.hidden": 32,
    "critic.hidden": 32, "rollout.starts": 500, "rollout.capacity_per_step": 2000, "training.batch_size": 64,
}  # fmt: skip

#: Name, what makes it, and what is to be seen.
TRIED = [
    ("Pendulum-v1", lambda g: g.make("Pendulum-v1")),
    ("MountainCarContinuous-v0", lambda g: g.make("MountainCarContinuous-v0")),
    ("CartPole-v1", lambda g: g.make("CartPole-v1")),
    ("LunarLanderContinuous-v3", lambda g: g.make("LunarLander-v3", continuous=True)),
    ("BipedalWalker-v3", lambda g: g.make("BipedalWalker-v3")),
    ("CarRacing-v3", lambda g: g.make("CarRacing-v3")),
    ("Pusher-v5", lambda g: g.make("Pusher-v5")),
    ("Ant-v5", lambda g: g.make("Ant-v5")),
    ("dm_control/cartpole-balance-v0", lambda g: _shimmy(g, "dm_control/cartpole-balance-v0", flat=False)),
    ("the same, flattened", lambda g: _shimmy(g, "dm_control/cartpole-balance-v0", flat=True)),
    ("FetchReach-v4", lambda g: _robotics(g, "FetchReach-v4", flat=False)),
    ("PointMaze_UMaze-v3, flattened", lambda g: _robotics(g, "PointMaze_UMaze-v3", flat=True)),
]


def _shimmy(gymnasium, name, flat):
    import shimmy

    gymnasium.register_envs(shimmy)
    env = gymnasium.make(name)
    return gymnasium.wrappers.FlattenObservation(env) if flat else env


def _robotics(gymnasium, name, flat):
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    env = gymnasium.make(name)
    return gymnasium.wrappers.FlattenObservation(env) if flat else env


def pendulum(folder: pathlib.Path, settings: dict) -> None:
    started = time.monotonic()
    run = ddppo.train("InvertedPendulum", seed=0, steps=3000, out=folder / "pendulum")
    score = run.evaluate(10)
    print(f"InvertedPendulum: {score.mean:.1f} ± {score.std:.1f} after 3000 steps, in {time.monotonic() - started:.0f} s")


def killed(folder: pathlib.Path, settings: dict) -> None:
    import gymnasium

    make = lambda: gymnasium.make("Hopper-v5")
    settings = {**settings, "training.warmup_steps": 500, "checkpoint.every_steps": 250}
    train = lambda name, **more: ddppo.train(make, seed=0, steps=2000, out=folder / name, settings=settings, **more)
    train("whole")
    for stop in (730, 1410):
        if os.fork() == 0:
            kill = lambda step, _: os.kill(os.getpid(), signal.SIGKILL) if step == stop else None
            if stop == 730:
                train("killed", on_step=kill)
            ddppo.Run(folder / "killed").resume(on_step=kill)
            os._exit(0)
        print("ended by signal", os.WTERMSIG(os.wait()[1]), "at step", stop)
    ddppo.Run(folder / "killed").resume()

    def bits(name: str) -> list:
        newest = folder / name / "checkpoints" / "2000"
        lines = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
        metrics = [{key: value for key, value in line.items() if key != "time"} for line in lines]
        return [(newest / part).read_bytes() for part in ("state.safetensors", "state.json")] + metrics

    whole, pieced = bits("whole"), bits("killed")
    print("bits equal" if whole == pieced else "BITS DIFFER", f"({len(whole)} files and lines)")


def speed(folder: pathlib.Path, settings: dict) -> None:
    import gymnasium

    for name, task in (("ours", "Hopper"), ("gymnasium", lambda: gymnasium.make("Hopper-v5"))):
        more = {**settings, "training.warmup_steps": 500, "evaluation.every_steps": 500, "evaluation.episodes": 10}
        run = ddppo.train(task, seed=0, steps=1500, out=folder / f"speed-{name}", settings=more, progress=False)
        lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
        seconds: dict[str, float] = {}
        for line in lines:
            for part, took in line.get("time", {}).items():
                seconds[part] = seconds.get(part, 0.0) + took
        parts = ", ".join(f"{part} {took:.1f} s" for part, took in sorted(seconds.items(), key=lambda item: -item[1]))
        print(f"{name}: 1500 steps, {parts}; a step of the environment {1e6 * seconds['environment'] / 1500:.0f} µs")


def environments(folder: pathlib.Path, settings: dict) -> None:
    for number, (name, _) in enumerate(TRIED):
        script = f"import demonstrate; demonstrate.one({number}, {str(folder)!r})"
        command = [sys.executable, "-W", "ignore", "-c", script]
        # What ends the process ends one line of the table.
        done = subprocess.run(command, capture_output=True, text=True, cwd=pathlib.Path(__file__).parent, check=False)
        print(f"| {name} | {done.stdout.strip() or done.stderr.strip().splitlines()[-1]} |", flush=True)


def one(number: int, folder: str) -> None:
    import gymnasium

    settings = {**SMALL, "training.warmup_steps": 100, "training.model_every_steps": 100, "evaluation.every_steps": 150, "evaluation.episodes": 2}
    _, make = TRIED[number]
    try:
        make(gymnasium).close()
    except Exception as error:
        print(f"not made: {type(error).__name__}: {(str(error) or 'no message').splitlines()[0]}")
        return
    out = pathlib.Path(folder) / f"tried-{number}"
    try:
        started = time.monotonic()
        run = ddppo.train(lambda: make(gymnasium), seed=0, steps=300, out=out, settings=settings, progress=False)
    except ddppo.Error as error:
        print(f"refused: {error}")
        return
    took = time.monotonic() - started
    seconds = sum(json.loads(line).get("time", {}).get("environment", 0.0) for line in (out / "metrics.jsonl").read_text().splitlines())
    score = run.evaluate(3)
    exact = "resume exact" if run.exact else f"resume not exact: {run.unsaved}"
    print(f"300 steps in {took:.0f} s, {1e3 * seconds / 300:.2f} ms a step of the environment; return {score.mean:.1f}; {exact}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["pendulum", "killed", "speed", "environments"])
    parser.add_argument("--out", type=pathlib.Path, help="where runs go [default: a folder that is removed]")
    parser.add_argument("--settings", choices=["preset", "small"], default="preset")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        chosen = SMALL if arguments.settings == "small" else {}
        globals()[arguments.what](arguments.out or pathlib.Path(temporary), chosen)
