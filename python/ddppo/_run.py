"""Runs: starting them, going on with them, and asking what came of them."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ddppo import _environment, _metrics, _native, _progress
from ddppo._environment import Factory as EnvironmentFactory
from ddppo._errors import UsageError
from ddppo._folder import Folder, PathLike
from ddppo._policy import Policy

if TYPE_CHECKING:
    import pandas

#: Called after each step with its number and its records, mostly none; False stops the run, which is saved.
OnStep = Callable[[int, list[dict[str, Any]]], bool | None]
#: Called after each evaluation with the step and its record; False stops the run, which is saved.
OnEvaluation = Callable[[int, dict[str, Any]], bool | None]


@dataclass(frozen=True)
class Evaluation:
    """Episodes of the deterministic policy.

    Attributes:
        mean, std: of the returns; NaN where no episode has one.
        returns: sum of rewards of each episode, undiscounted; NaN where the physics broke.
        lengths: steps of each episode.
    """

    mean: float
    std: float
    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]


@dataclass(frozen=True)
class Plot:
    """A learning curve: the files that it was written to, and a picture for notebooks."""

    files: tuple[pathlib.Path, ...]

    def _repr_svg_(self) -> str | None:
        pictures = [file.read_text() for file in self.files if file.suffix == ".svg"]
        return pictures[0] if pictures else None


class Run:
    """A run in its folder, which the program knows, too: ``ddppo evaluate runs/…``.

    Args:
        path: the run's folder.
        environment: makes the environment, where the run is of one of Python's. Left out, those that ``gymnasium.make`` made by name
            alone are made again.
        terminated: as it was given to :func:`train`, if it was a function.
    """

    def __init__(self, path: PathLike, environment: EnvironmentFactory | None = None, terminated: Any = None) -> None:
        self._folder = Folder(path, environment, terminated)
        #: The run's folder.
        self.path: pathlib.Path = self._folder.path
        # There must be one.
        _native.configuration(self.path)

    @property
    def config(self) -> dict[str, Any]:
        """The settings, section by section, as in ``config.toml``."""
        return _native.configuration(self.path)

    @property
    def exact(self) -> bool:
        """Whether a resumed run goes on to the same bits: whether the environment's state can be saved."""
        return self.unsaved is None

    @property
    def unsaved(self) -> str | None:
        """Why the environment's state cannot be saved; None if it can."""
        kept = self._folder.said()
        return None if kept is None else kept.get("unsaved")

    def metrics(self, kind: str | None = None) -> "pandas.DataFrame | dict[str, NDArray[Any]]":
        """What was measured: a data frame where pandas is installed, otherwise a dictionary of numpy arrays.

        Args:
            kind: lines of this kind only: ``"train"``, ``"evaluation"``, ``"model"`` and others of docs/metrics.md.

        Returns:
            A column for each name, with ``step`` and ``kind``; NaN where a line has no such number. Seconds are ``time.…``.
        """
        columns = _metrics.columns(self.path / "metrics.jsonl", kind)
        try:
            import pandas
        except ImportError:
            return columns
        return pandas.DataFrame(columns)

    def policy(self, best: bool = False) -> Policy:
        """The newest policy, or the one that was scored best."""
        return Policy(self.path, best)

    def evaluate(self, episodes: int = 10, seed: int = 0, best: bool = False) -> Evaluation:
        """Plays whole episodes with the deterministic policy, each in an environment of its own.

        Args:
            episodes: how many.
            seed: of the episodes' initial states: equal seeds give equal episodes.
            best: the policy that was scored best, instead of the newest.
        """
        if episodes < 1:
            raise UsageError(f"`episodes` is {episodes}, and at least 1 is needed")
        _natural("seed", seed)
        played, told = _native.evaluate(self.path, best, episodes, seed, self._folder.task())
        _warn(told)
        returns = np.array([np.nan if broke else score for score, _, broke in played])
        scored = returns[~np.isnan(returns)]
        mean, std = (float(scored.mean()), float(scored.std())) if scored.size else (np.nan, np.nan)
        return Evaluation(mean, std, returns, np.array([length for _, length, _ in played]))

    def resume(
        self,
        steps: int | None = None,
        *,
        threads: int | None = None,
        progress: bool = True,
        on_step: OnStep | None = None,
        on_evaluation: OnEvaluation | None = None,
    ) -> "Run":
        """Goes on from the newest checkpoint: to the same bits as a run that was never interrupted, if :attr:`exact`.

        Args:
            steps: environment steps in all, those done included; as planned if left out.
            threads, progress, on_step, on_evaluation: as for :func:`train`.

        Raises:
            KeyboardInterrupt: after Ctrl-C; the run is saved.
        """
        listeners = _listeners(threads, progress, on_step, on_evaluation)
        _natural("steps", steps)
        _native.resume(self.path, steps, self._folder.task(), listeners)
        return self

    def plot(self, *files: PathLike, published: Sequence[str] = ()) -> Plot:
        """Draws the learning curve.

        Args:
            files: pictures (``.svg``, ``.png``) or tables (``.csv``) to write; ``curve.svg`` and ``curve.png`` in the run's folder if left out.
            published: methods whose published curves are drawn, too, such as ``"MBPO"``.
        """
        paths = tuple(map(pathlib.Path, files)) or (self.path / "curve.svg", self.path / "curve.png")
        _warn(_native.plot([self.path], list(paths), list(published)))
        return Plot(paths)

    def __repr__(self) -> str:
        return f"<ddppo.Run in {self.path}>"


def train(
    task: str | EnvironmentFactory | PathLike = "InvertedPendulum",
    *,
    seed: int | None = None,
    steps: int | None = None,
    out: PathLike | None = None,
    algo: str = "ddppo",
    variant: str | None = None,
    settings: Mapping[str, Any] | None = None,
    mjcf: PathLike | None = None,
    terminated: Callable[[NDArray[np.float64]], Any] | bool | None = None,
    name: str | None = None,
    time_limit: int | None = None,
    resume: bool = False,
    threads: int | None = None,
    progress: bool = True,
    on_step: OnStep | None = None,
    on_evaluation: OnEvaluation | None = None,
    **sections: Mapping[str, Any],
) -> Run:
    """Trains a policy. Equal seeds give equal runs, to the bit, here and on the command line.

    Args:
        task: one of :func:`tasks`; or a function that makes a Gymnasium environment, such as
            ``lambda: gymnasium.make("Pusher-v5")``; or, with ``mjcf``, the task file of a robot of your own.
        seed: of all random streams (0).
        steps: environment steps in all; those of the task's preset if left out.
        out: the run's folder; ``runs/TASK-seedN-1`` or the next free number if left out.
        algo: the method.
        variant: a variant of the method.
        settings: what differs from the preset, by key: ``{"policy.horizon": 2}``.
        mjcf: the model of a robot of your own.
        terminated: of a Gymnasium environment, which imagined observations end an episode: None to have it learned, False if none does, or a
            function from a batch ``[n, observation_dim]`` to n answers.
        name: of a Gymnasium environment, its name for files and curves.
        time_limit: of a Gymnasium environment, the steps after which an episode is cut, where it names none itself.
        resume: go on with the run in ``out`` where there is one, which must have the same settings.
        threads: worker threads; all cores if left out. Their number does not change the result.
        progress: show a bar, or lines where there is no terminal.
        on_step: called after each step with its number and its records, on the thread that trains.
        on_evaluation: called after each evaluation with the step and its record.
        sections: settings, section by section: ``policy={"horizon": 2}``.

    Returns:
        The run. One that a callback has stopped can be resumed.

    Raises:
        KeyboardInterrupt: after Ctrl-C; the run is saved, and ``ddppo.Run(out).resume()`` goes on.
        UsageError: for a mistake in the arguments, in one sentence.
        Error: when the run cannot go on; the sentence says what is saved.
    """
    words = [f"--algo={algo}"]
    for flag, value in (("variant", variant), ("seed", seed), ("steps", steps), ("out", out)):
        if value is not None:
            words.append(f"--{flag}={_word(value)}")
    words += [f"--set={key}={_toml(value)}" for key, value in _settings(settings, sections)]
    if resume:
        words.append("--resume")
    native, description, environment = None, "", None
    if mjcf is not None:
        if callable(task) or str(task) in _native.task_names():
            raise UsageError("`mjcf` is the model of a robot; `task` must be the file that says what it is to do, such as task=\"arm.toml\"")
        words += [f"--mjcf={_word(mjcf)}", f"--task={_word(task)}"]
    elif isinstance(task, str):
        words += ["--", task]
    else:
        environment = cast(EnvironmentFactory, task)
        native, description = _environment.task_of(environment, name, time_limit, terminated)
    if native is None and not (terminated is None and name is None and time_limit is None):
        raise UsageError("`terminated`, `name` and `time_limit` are for environments of Python's: a task of the program's has its own")
    path, _ = _native.train(words, native, description, _listeners(threads, progress, on_step, on_evaluation))
    return Run(path, environment, terminated)


def _natural(name: str, value: int | None) -> None:
    if value is not None and not 0 <= value < 2**63:
        raise UsageError(f"`{name}` is {value}, and must be a whole number from 0 to {2**63 - 1}")


def _word(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _settings(settings: Mapping[str, Any] | None, sections: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Keys and values, sections spelled out: a method's own keys have one dot at most."""
    if settings is not None and not isinstance(settings, Mapping):
        raise UsageError(f"`settings` is a dictionary, such as {{\"policy.horizon\": 2}}, not a {type(settings).__name__}")
    given: list[tuple[str, Any]] = []
    for key, value in [*(settings or {}).items(), *sections.items()]:
        if isinstance(value, Mapping):
            given += [(f"{key}.{name}", inner) for name, inner in value.items()]
        elif key in sections:
            raise UsageError(
                f"`train` has no argument `{key}`: a section of settings is a dictionary, such as policy={{\"horizon\": 2}}"
            )
        else:
            given.append((key, value))
    return given


def _toml(value: Any) -> str:
    """A value as TOML writes it."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple, np.ndarray)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    raise UsageError(f"a setting is a number, a text, True or False, or a list of numbers, not {type(value).__name__}")


def _listeners(
    threads: int | None, progress: bool, on_step: OnStep | None, on_evaluation: OnEvaluation | None
) -> dict[str, Any]:
    if threads is not None and not 1 <= threads <= 1024:
        raise UsageError(f"`threads` is {threads}, and must be from 1 to 1024")

    def tell(step: int, lines: list[str]) -> bool:
        records = [_metrics.record(line) for line in lines]
        answers = [on_step(step, records)] if on_step is not None else []
        if on_evaluation is not None:
            answers += [on_evaluation(step, record) for record in records if record["kind"] == "evaluation"]
        # None, or anything else than False, is to go on.
        return not any(answer is False for answer in answers)

    return {
        "on_step": tell if on_step is not None or on_evaluation is not None else None,
        "every_step": on_step is not None,
        "show": _progress.Bar() if progress and _progress.in_notebook() else None,
        "quiet": not progress,
        "threads": threads,
    }


def _warn(told: Sequence[str]) -> None:
    import warnings

    for warning in told:
        warnings.warn(warning, stacklevel=3)
