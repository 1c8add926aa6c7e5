"""Replays ddppo's traces in Gymnasium and compares them step by step; compares compiled models field by field.

Reads one JSON object on standard input: {"traces": [{"task", "gym", "seed", "trace"}], "models": [{"task", "gym", "mjcf"}],
"speed": repetitions} (`trace` a file, `mjcf` a model text) and writes one on standard output: {"traces": [...], "models": [...]}.
With `speed` above 0, each trace is also run that often for its time alone.
"""

import json
import sys
import time

import gymnasium
import mujoco
import numpy as np

# Fields that say how a model looks, is named or is stored; and those of two tendons of the classic Humanoid that exert no
# force, of the number of key frames and of a numeric constant of the classic Ant, which nothing reads.
NOT_PHYSICS = (
    "name tex mat light cam tendon ten_ wrap key numeric paths nname ntex nmat nlight ncam nten nkey nnumeric nwrap "
    "nJten nuser_geom geom_user nbuffer narena signature"
).split()


def differing_fields(ours, theirs):
    """Names of the physical fields of two compiled models, options included, that are not equal bit for bit."""
    found = []
    for prefix, a, b in (("", ours, theirs), ("opt.", ours.opt, theirs.opt)):
        for field in dir(b):
            value = getattr(b, field)
            if field.startswith("_") or not isinstance(value, (int, float, np.ndarray)):
                continue
            if field.startswith(tuple(NOT_PHYSICS)) or field.endswith(("rgba", "_matid")):
                continue
            if not np.array_equal(getattr(a, field), value):
                found.append(prefix + field)
    return found


def make(name):
    """The environment without wrappers: they would check ranges and count steps."""
    options = {"use_contact_forces": False} if name.startswith("Ant") else {}
    return gymnasium.make(name, disable_env_checker=True, **options).unwrapped


def replay(lines, env):
    """Steps, episodes, the first step whose qpos or qvel differ, and the largest differences, over a trace.

    `early` is the largest difference of qpos in the first 50 steps of an episode, before chaos has its say.
    """
    worst = dict(qpos=0.0, qvel=0.0, reward=0.0, observation=0.0, early=0.0)
    first, steps, episodes, terminations = None, 0, 0, 0
    for line in lines:
        qpos, qvel = np.array(line["qpos"]), np.array(line["qvel"])
        observation = np.array(line["observation"])
        if line["action"] is None:
            mujoco.mj_resetData(env.model, env.data)
            env.set_state(qpos, qvel)
            seen, reward, terminated = env._get_obs(), None, False
            episodes += 1
        else:
            seen, reward, terminated, _, _ = env.step(np.array(line["action"]))
            steps += 1
            terminations += terminated != line["terminated"]
            worst["reward"] = max(worst["reward"], abs(reward - line["reward"]))
        difference = np.abs(env.data.qpos - qpos).max()
        worst["qpos"] = max(worst["qpos"], difference)
        if line["step"] <= 50:
            worst["early"] = max(worst["early"], difference)
        worst["qvel"] = max(worst["qvel"], np.abs(env.data.qvel - qvel).max())
        worst["observation"] = max(worst["observation"], np.abs(seen[: len(observation)] - observation).max())
        same = np.array_equal(env.data.qpos, qpos) and np.array_equal(env.data.qvel, qvel)
        if first is None and not same:
            first = steps
    return dict(steps=steps, episodes=episodes, first=first, terminations=terminations, **worst)


def steps_per_second(lines, env, repetitions):
    """Of the fastest run of a trace's actions, resets included; 0 without repetitions."""
    todo = [
        (line["action"] and np.array(line["action"]), np.array(line["qpos"]), np.array(line["qvel"])) for line in lines
    ]
    best = float("inf")
    for _ in range(repetitions):
        start = time.perf_counter()
        for action, qpos, qvel in todo:
            if action is None:
                mujoco.mj_resetData(env.model, env.data)
                env.set_state(qpos, qvel)
            else:
                env.step(action)
        best = min(best, time.perf_counter() - start)
    return sum(action is not None for action, _, _ in todo) / best


def main():
    gymnasium.logger.min_level = gymnasium.logger.ERROR  # It would warn that -v4 is not the newest.
    request = json.load(sys.stdin)
    traces = []
    for item in request["traces"]:
        env = make(item["gym"])
        with open(item["trace"]) as file:
            lines = [json.loads(line) for line in file]
        result = replay(lines, env)
        speed = steps_per_second(lines, env, request["speed"])
        traces.append(dict(task=item["task"], seed=item["seed"], speed=speed, **result))
        env.close()
    models = []
    for item in request["models"]:
        env = make(item["gym"])
        fields = differing_fields(mujoco.MjModel.from_xml_string(item["mjcf"]), env.model)
        models.append(dict(task=item["task"], differing=fields))
        env.close()
    json.dump(dict(mujoco=mujoco.__version__, gymnasium=gymnasium.__version__, traces=traces, models=models), sys.stdout)


if __name__ == "__main__":
    main()
