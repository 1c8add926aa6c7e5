"""The compiled part. Observations and actions pass as bytes of doubles."""

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Path = str | os.PathLike[str]

class Task:
    """An environment of Python's as a task: `make` gives a `_environment.Running`, or is None where nothing is done in it."""

    def __new__(
        cls,
        name: str,
        observation_dim: int,
        low: Sequence[float],
        high: Sequence[float],
        time_limit: int,
        make: Callable[[], Any] | None,
        terminated: Callable[[bytes, int], bytes] | bool | None,
    ) -> Task: ...

class Policy:
    """A policy as it was saved."""

    step: int
    observation_dim: int
    low: list[float]
    high: list[float]

    @staticmethod
    def load(root: Path, best: bool, task: Task | None) -> tuple[Policy, list[str]]: ...
    def seed(self, seed: int) -> None: ...
    def act(self, observations: bytes, deterministic: bool) -> bytes: ...

def train(words: Sequence[str], task: Task | None, description: str, listeners: Mapping[str, Any]) -> tuple[pathlib.Path, int]:
    """Trains what the words of `ddppo train` ask for."""

def resume(root: Path, steps: int | None, task: Task | None, listeners: Mapping[str, Any]) -> tuple[pathlib.Path, int]:
    """Goes on with a run."""

def evaluate(root: Path, best: bool, episodes: int, seed: int, task: Task | None) -> tuple[list[tuple[float, int, bool]], list[str]]:
    """Plays episodes: the sum of rewards, the steps, and whether the physics broke, of each; and warnings."""

def plot(roots: Sequence[Path], files: Sequence[Path], published: Sequence[str]) -> list[str]:
    """Draws learning curves; gives warnings."""

def configuration(root: Path) -> dict[str, Any]:
    """The settings of a run."""

def task_names() -> list[str]:
    """Names of the program's own tasks."""

def main(arguments: Sequence[str]) -> int:
    """The program: gives the exit code."""
