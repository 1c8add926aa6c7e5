"""A training in a process of its own, to be killed, interrupted and gone on with: `session.py WORLD FOLDER HOW`."""

import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import gymnasium
import worlds

import ddppo

WORLDS = {
    "hopper": lambda: gymnasium.make("Hopper-v5"),
    "cart": worlds.Cart,
    "saved-cart": worlds.SavedCart,
    "point-mass": "PointMass",
}

# Whatever these tests were started by: a shell's background ignores Ctrl-C, and so would Python.
signal.signal(signal.SIGINT, signal.default_int_handler)
world, folder, how = sys.argv[1:]
task = WORLDS[world]
steps = 300


def kill(step: int, _: object) -> None:
    if step == 170:
        os.kill(os.getpid(), signal.SIGKILL)


def interrupt(step: int, _: object) -> None:
    if step == 170:
        os.kill(os.getpid(), signal.SIGINT)
        # The main thread, which waits, is to hear of it.
        time.sleep(0.5)


listeners = {"killed": kill, "interrupted": interrupt}
try:
    if how == "resumed":
        # What gymnasium makes by name is made again; the rest is given.
        by_name = world in ("hopper", "point-mass")
        ddppo.Run(folder, None if by_name else task).resume(progress=False)
    else:
        ddppo.train(
            task, seed=1, steps=steps, out=folder, settings=worlds.SMALL, progress=False, on_step=listeners.get(how)
        )
except KeyboardInterrupt as interrupt:
    print(interrupt)
