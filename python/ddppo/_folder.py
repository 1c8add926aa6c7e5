"""What a run's folder says of the environment that it is of, and the task to look at it or go on in."""

import json
import os
import pathlib
from typing import Any

import numpy as np

from ddppo import _environment, _native
from ddppo._errors import UsageError

PathLike = str | os.PathLike[str]

#: Beside config.toml where a run is of an environment of Python's.
FILE = "environment.json"


class Folder:
    """A run's folder, and how its environment is made, if it is one of Python's."""

    def __init__(self, path: PathLike, environment: Any = None, terminated: Any = None) -> None:
        self.path = pathlib.Path(path)
        self._environment, self._terminated = environment, terminated

    def said(self) -> dict[str, Any] | None:
        """What was written when the run began; None for a task of the program's."""
        file = self.path / FILE
        if not file.exists():
            return None
        try:
            kept: dict[str, Any] = json.loads(file.read_text())
            sizes = int(kept["observation_dim"]), len(kept["low"]), len(kept["high"]), int(np.prod(kept["action_shape"]))
            fits = sizes[1] == sizes[2] == sizes[3] > 0 < sizes[0] and str(kept["name"]) and int(kept["time_limit"]) > 0
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{file} does not say which environment the run is of: {error!r}") from error
        if not fits:
            raise UsageError(f"{file} does not say which environment the run is of: its sizes do not fit each other")
        return kept

    def task(self) -> Any:
        """The task to act in; None for the program's own, which it finds itself."""
        kept = self.said()
        if kept is None:
            if self._environment is not None:
                raise UsageError(f"{self.path} was trained in a task of the program's own: leave `environment` out")
            return None
        terminated = self._terminated
        if terminated is None and kept.get("terminated") == "never":
            terminated = False
        if terminated is None and kept.get("terminated") == "function":
            raise UsageError(
                f"{self.path} was trained with a function for `terminated`: give it again, as by "
                f"`ddppo.Run(\"{self.path}\", environment=…, terminated=…)`"
            )
        task, said = _environment.task_of(self._factory(kept), kept["name"], kept["time_limit"], terminated)
        now = json.loads(said)
        for part in ("observation_dim", "low", "high"):
            if now[part] != kept[part]:
                raise UsageError(f"{self.path} was trained with {part} {kept[part]}, and the environment has {now[part]}")
        return task

    def still_task(self) -> Any:
        """A task to load the policy in; nothing can be done in it."""
        kept = self.said()
        if kept is None:
            return None
        sizes = kept["name"], kept["observation_dim"], kept["low"], kept["high"], kept["time_limit"]
        return _native.Task(*sizes, None, None)

    def action_shape(self) -> tuple[int, ...] | None:
        """The shape of an action; None where it has one dimension."""
        kept = self.said()
        return None if kept is None else tuple(kept["action_shape"])

    def _factory(self, kept: dict[str, Any]) -> Any:
        if self._environment is not None:
            return self._environment
        recipe = kept.get("gymnasium")
        if recipe is None:
            raise UsageError(
                f"{self.path} is of the environment {kept['name']}, which only you can make: "
                f"`ddppo.Run(\"{self.path}\", environment=…)` with a function that makes one"
            )
        import gymnasium

        # A name with a module before it would run code that the folder names.
        if ":" in recipe["id"]:
            raise UsageError(f"{self.path}/{FILE} names a module to import: give `environment` yourself")
        return lambda: gymnasium.make(recipe["id"], **recipe["kwargs"])
