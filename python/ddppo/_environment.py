"""Gymnasium's environments as tasks: what they must be, how numbers pass, and how their state is saved."""

import json
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ddppo import _native
from ddppo._errors import UsageError

#: Steps after which an episode of an environment is cut that names no limit itself.
TIME_LIMIT = 1000

#: Wrappers whose only state is the count of steps, or that have none.
PLAIN_WRAPPERS = {
    "ClipAction", "ClipReward", "DtypeObservation", "FilterObservation", "FlattenObservation", "OrderEnforcing", "PassiveEnvChecker",
    "RescaleAction", "RescaleObservation", "ReshapeObservation", "TimeLimit",
}  # fmt: skip

Factory = Callable[[], Any]


def layers(env: Any) -> Iterator[Any]:
    """The environment's wrappers, outermost first, and what they are around."""
    yield env
    while "env" in vars(env) and hasattr(env.env, "step"):
        env = env.env
        yield env


def name_of(env: Any) -> str:
    """The identifier that it was made by, or its class's name."""
    spec = getattr(env, "spec", None)
    name = spec.id.rpartition("/")[2] if spec is not None else type(env.unwrapped if hasattr(env, "unwrapped") else env).__name__
    # A task of the program's own is another thing.
    return name + "-python" if name in _native.task_names() else name


class Description:
    """What never changes of an environment, checked: sizes, bounds, time limit, and whether its state can be saved."""

    def __init__(self, env: Any, name: str | None, time_limit: int | None) -> None:
        self.name = name_of(env) if name is None else name
        if not self.name or "/" in self.name or not self.name.isprintable():
            raise UsageError(f"the name {self.name!r} cannot be that of a folder: give another one by `name`")
        if time_limit is not None and not 1 <= time_limit < 2**31:
            raise UsageError(f"`time_limit` is {time_limit}, and must be from 1 to {2**31 - 1} steps")
        for part in ("observation_space", "action_space", "reset", "step"):
            if not hasattr(env, part):
                raise UsageError(f"{self.name} is no environment as Gymnasium has them: it lacks `{part}`")
        self._observations(env)
        self._actions(env)
        self.time_limit = time_limit or _limit_of(env)
        self.gymnasium = _recipe(env)
        self.unsaved = Keeper(env).unsaved
        self._try(env)

    def _observations(self, env: Any) -> None:
        space = env.observation_space
        shape = getattr(space, "shape", None)
        if not _is_box(space) or shape is None or len(shape) != 1:
            what = f"a Box of shape {shape}" if _is_box(space) else f"a {type(space).__name__}"
            raise UsageError(
                f"the observations of {self.name} are {what}, and a Box of one dimension is needed: flatten them, as by "
                f"`ddppo.train(lambda: gymnasium.wrappers.FlattenObservation(gymnasium.make(…)))`"
            )
        self.observation_dim = int(shape[0])
        if self.observation_dim == 0:
            raise UsageError(f"the observations of {self.name} are empty: there is nothing to learn from")

    def _actions(self, env: Any) -> None:
        space = env.action_space
        if not _is_box(space):
            raise UsageError(
                f"the actions of {self.name} are {type(space).__name__}, and a Box with finite bounds is needed: the policy "
                f"learns by derivatives with respect to actions, which choices among a few have not"
            )
        self.low = np.asarray(space.low, np.float64).ravel()
        self.high = np.asarray(space.high, np.float64).ravel()
        self.action_shape = tuple(int(n) for n in space.shape)
        if self.low.size == 0:
            raise UsageError(f"the actions of {self.name} are empty: there is nothing to choose")
        for index, (low, high) in enumerate(zip(self.low, self.high)):
            if not (np.isfinite(low) and np.isfinite(high) and low < high):
                raise UsageError(
                    f"action {index} of {self.name} has the bounds {low:g} and {high:g}, and finite ones are needed, the second above "
                    f"the first: give the environment an `action_space` that has them"
                )

    def _try(self, env: Any) -> None:
        """A reset and a step: what would go wrong in a run is told before it."""
        first = self._reset(env)
        if not np.array_equal(first, self._reset(env), equal_nan=True):
            warnings.warn(
                f"two resets of {self.name} with one seed differ: it draws from elsewhere than `np_random`, and no run in it "
                f"can be repeated",
                stacklevel=2,
            )
        action = ((self.low + self.high) / 2).reshape(self.action_shape).astype(env.action_space.dtype)
        given = env.step(action)
        if not isinstance(given, tuple) or len(given) != 5:
            raise UsageError(
                f"`step` of {self.name} gives no (observation, reward, terminated, truncated, info): it is of an older Gym, which "
                f"`gymnasium.make(\"GymV26Environment-v0\", env_id=…)` of the package shimmy makes a new one of"
            )
        self.check(given[0])

    def _reset(self, env: Any) -> np.ndarray:
        try:
            given = env.reset(seed=0)
        except TypeError as error:
            raise UsageError(f"`reset` of {self.name} does not take a seed: {error}") from error
        if not isinstance(given, tuple) or len(given) != 2:
            raise UsageError(f"`reset` of {self.name} gives no (observation, info)")
        return self.check(given[0])

    def check(self, observation: Any) -> np.ndarray:
        """An observation as the doubles that it should be."""
        array = np.asarray(observation, np.float64)
        if array.shape != (self.observation_dim,):
            raise UsageError(
                f"an observation of {self.name} has the shape {array.shape}, where its space says ({self.observation_dim},)"
            )
        return array

    def to_json(self, terminated: str) -> str:
        """For the run's folder."""
        kept = {
            "name": self.name,
            "observation_dim": self.observation_dim,
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "action_shape": list(self.action_shape),
            "time_limit": self.time_limit,
            "terminated": terminated,
            "gymnasium": self.gymnasium,
            "unsaved": self.unsaved,
        }
        return json.dumps(kept, indent=2) + "\n"


def _is_box(space: Any) -> bool:
    return all(hasattr(space, part) for part in ("low", "high", "shape", "dtype"))


def _limit_of(env: Any) -> int:
    for layer in layers(env):
        limit = vars(layer).get("_max_episode_steps") or getattr(getattr(layer, "spec", None), "max_episode_steps", None)
        if limit is not None:
            return int(limit)
    warnings.warn(
        f"{name_of(env)} names no time limit: an episode that it does not end or cut itself is cut after {TIME_LIMIT} steps, unless "
        f"`time_limit=` says otherwise",
        stacklevel=2,
    )
    return TIME_LIMIT


def _recipe(env: Any) -> dict[str, Any] | None:
    """How `gymnasium.make` makes the like again, if that is all there is to it."""
    spec = getattr(env, "spec", None)
    if spec is None or getattr(spec, "additional_wrappers", None):
        return None
    recipe = {"id": spec.id, "kwargs": dict(spec.kwargs)}
    try:
        return recipe if json.loads(json.dumps(recipe)) == recipe else None
    except (TypeError, ValueError):
        return None


class Keeper:
    """Saves and restores the state of an environment: of MuJoCo's all that a step can read, of others what `get_state` gives."""

    def __init__(self, env: Any) -> None:
        self.layers = list(layers(env))
        #: The layer that answers for itself and all within it.
        self.own: Any = None
        self.physics: Any = None
        #: Why the state cannot be saved; None if it can.
        self.unsaved: str | None = None
        for layer in self.layers:
            kind = type(layer)
            if hasattr(kind, "get_state") and hasattr(kind, "set_state"):
                self.own = layer
                return
            if layer is self.layers[-1]:
                if kind.__module__.startswith("gymnasium.envs.mujoco."):
                    self.physics = layer
                    return
            elif kind.__name__ in PLAIN_WRAPPERS:
                continue
            self.unsaved = f"{kind.__name__} has no `get_state` and `set_state`"
            return

    def save(self) -> np.ndarray:
        """The state as numbers; none where it cannot be saved."""
        if self.unsaved:
            return np.empty(0)
        if self.own is not None:
            given = self.own.get_state()
            try:
                inner = np.asarray(given, np.float64).ravel()
            except (TypeError, ValueError) as error:
                raise TypeError(f"get_state() must give an array of numbers, not {type(given).__name__}") from error
        else:
            inner = _read_physics(self.physics)
        draws = self._generator()
        text = b"" if draws is None else json.dumps(draws.bit_generator.state, default=np.ndarray.tolist).encode()
        counts = [vars(layer).get("_elapsed_steps", 0) or 0 for layer in self.layers]
        return np.concatenate([[len(text)], np.frombuffer(text, np.uint8), counts, inner])

    def restore(self, state: np.ndarray) -> None:
        """Goes on from a state. The environment has been reset before."""
        if self.unsaved:
            raise UsageError(f"the run's environment could save its state, and this one cannot: {self.unsaved}")
        length = int(state[0])
        text, rest = bytes(state[1 : 1 + length].astype(np.uint8)), state[1 + length :]
        for layer, count in zip(self.layers, rest):
            if "_elapsed_steps" in vars(layer):
                layer._elapsed_steps = int(count)
        inner = rest[len(self.layers) :].copy()
        if self.own is not None:
            self.own.set_state(inner)
        else:
            _write_physics(self.physics, inner)
        draws = self._generator()
        if draws is not None and text:
            draws.bit_generator.state = json.loads(text)

    def _generator(self) -> Any:
        draws = getattr(self.layers[-1], "_np_random", None)
        return draws if hasattr(draws, "bit_generator") else None


def _derived(physics: Any) -> list[str]:
    """Names of what MuJoCo computes from the state, of a size that does not change. Some of it lags a step behind, and is read before it is
    computed again."""
    import mujoco

    fresh = mujoco.MjData(physics.model)
    arrays = {name: getattr(fresh, name) for name in dir(fresh) if not name.startswith("_")}
    return [name for name, value in arrays.items() if isinstance(value, np.ndarray) and value.size and value.dtype.kind in "bifu"]


def _read_physics(physics: Any) -> np.ndarray:
    import mujoco

    kind = mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.empty(mujoco.mj_stateSize(physics.model, kind))
    mujoco.mj_getState(physics.model, physics.data, state, kind)
    derived = [np.asarray(getattr(physics.data, name), np.float64).ravel() for name in _derived(physics)]
    return np.concatenate([state, *derived])


def _write_physics(physics: Any, numbers: np.ndarray) -> None:
    import mujoco

    kind = mujoco.mjtState.mjSTATE_INTEGRATION
    state, rest = np.split(numbers, [mujoco.mj_stateSize(physics.model, kind)])
    names = _derived(physics)
    if rest.size != sum(getattr(physics.data, name).size for name in names):
        raise UsageError("the saved state is of another MuJoCo model than the environment's")
    mujoco.mj_setState(physics.model, physics.data, state, kind)
    # Contacts and all else; then what lags behind as it was, and the warm start, which that has changed.
    mujoco.mj_forward(physics.model, physics.data)
    for name in names:
        array = getattr(physics.data, name)
        values, rest = np.split(rest, [array.size])
        array[...] = values.reshape(array.shape).astype(array.dtype)
    mujoco.mj_setState(physics.model, physics.data, state, kind)


class Running:
    """A running environment, as `_native` talks to it."""

    def __init__(self, env: Any, description: Description) -> None:
        self.env, self.description, self.keeper = env, description, Keeper(env)
        self.low, self.high, self.shape = description.low, description.high, description.action_shape
        self.dtype = env.action_space.dtype

    def reset(self, seed: int) -> bytes:
        observation, _ = self.env.reset(seed=seed)
        return self.description.check(observation).tobytes()

    def step(self, action: bytes) -> tuple[bytes, float, bool, bool]:
        # In single precision, an action can pass a bound by a rounding.
        chosen = np.clip(np.frombuffer(action), self.low, self.high).reshape(self.shape).astype(self.dtype)
        observation, reward, terminated, truncated, _ = self.env.step(chosen)
        # An array of one number is a reward, too.
        return self.description.check(observation).tobytes(), np.asarray(reward, np.float64).item(), bool(terminated), bool(truncated)

    def state(self) -> bytes:
        return self.keeper.save().tobytes()

    def restore(self, state: bytes) -> None:
        self.keeper.restore(np.frombuffer(state))

    def close(self) -> None:
        self.env.close()


def ending(terminated: Any, observation_dim: int) -> tuple[Any, str]:
    """What says whether an imagined observation ends an episode, for `_native`, and in a word."""
    if terminated is None:
        return None, "learned"
    if terminated is False:
        return False, "never"
    if not callable(terminated):
        raise UsageError(
            "`terminated` is None (learned), False (no episode ends before its time) or a function of a batch of observations"
        )

    def judge(observations: bytes, rows: int) -> bytes:
        answer = np.asarray(terminated(np.frombuffer(observations).reshape(rows, observation_dim)))
        if answer.shape != (rows,):
            raise ValueError(f"`terminated` must give {rows} answers for {rows} observations, and gave the shape {answer.shape}")
        if answer.dtype.kind not in "biuf" or not np.isin(answer, (0, 1)).all():
            raise ValueError("`terminated` must answer True or False for each observation")
        return answer.astype(bool).tobytes()

    return judge, "function"


def task_of(environment: Factory, name: str | None, time_limit: int | None, terminated: Any) -> tuple[Any, str]:
    """The task that an environment is, and what the run's folder says of it."""
    if not callable(environment):
        raise UsageError(
            "an environment is given as a function that makes one, such as `lambda: gymnasium.make(\"Pusher-v5\")`: evaluations have "
            "environments of their own"
        )
    env = environment()
    try:
        description = Description(env, name, time_limit)
    finally:
        if hasattr(env, "close"):
            env.close()
    judge, word = ending(terminated, description.observation_dim)
    task = _native.Task(
        description.name,
        description.observation_dim,
        description.low.tolist(),
        description.high.tolist(),
        description.time_limit,
        lambda: Running(environment(), description),
        judge,
    )
    return task, description.to_json(word)
