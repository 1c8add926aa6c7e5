"""Finds MuJoCo's library in the package `mujoco` and loads it, so that `_native` finds it loaded, wherever the two are installed."""

import ctypes
import importlib.util
import pathlib

VERSION = "3.17.0"


def load() -> None:
    """Loads the library. `mujoco` itself is not imported: that takes half a second, and its renderer may want a display."""
    spec = importlib.util.find_spec("mujoco")
    if spec is None or spec.origin is None:
        raise ImportError(f"ddppo needs the package mujoco {VERSION}: pip install mujoco=={VERSION}")
    library = pathlib.Path(spec.origin).parent / f"libmujoco.so.{VERSION}"
    if not library.exists():
        raise ImportError(
            f"ddppo needs the package mujoco {VERSION}, and {library.parent} is another version: "
            f"pip install mujoco=={VERSION}"
        )
    ctypes.CDLL(str(library))
