"""DDPPO for Python: model-based reinforcement learning from few steps, in the program's own tasks or in any Gymnasium environment.

    import ddppo
    run = ddppo.train("Hopper", seed=0, steps=3000, out="runs/hopper")
    policy = ddppo.load("runs/hopper")
    action, _ = policy.predict(observation, deterministic=True)

docs/python.md of the source tells more.
"""

from ddppo import _mujoco

_mujoco.load()

from ddppo._errors import Error, UsageError
from ddppo._native import task_names as tasks
from ddppo._policy import Policy, load
from ddppo._run import Evaluation, Plot, Run, train

__all__ = ["Error", "Evaluation", "Plot", "Policy", "Run", "UsageError", "load", "tasks", "train"]
