"""A trained policy."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ddppo import _native
from ddppo._errors import UsageError
from ddppo._folder import Folder, PathLike


class Policy:
    """A trained policy. :meth:`predict` has the signature that policies of Stable-Baselines3 have.

    Attributes:
        step: environment steps that it was trained for.
        observation_dim: numbers in an observation.
        low, high: bounds of the actions, ``[action_dim]``, in the environment's own units.
    """

    def __init__(self, path: PathLike, best: bool = False) -> None:
        folder = Folder(path)
        self._native, told = _native.Policy.load(folder.path, best, folder.still_task())
        for warning in told:
            warnings.warn(warning, stacklevel=3)
        self.step: int = self._native.step
        self.observation_dim: int = self._native.observation_dim
        self.low: NDArray[np.float64] = np.array(self._native.low)
        self.high: NDArray[np.float64] = np.array(self._native.high)
        self._shape = folder.action_shape() or self.low.shape

    def predict(
        self,
        observation: ArrayLike,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], None]:
        """The action for an observation ``[observation_dim]``, or the actions for a batch ``[n, observation_dim]``.

        Args:
            observation: as the environment gives it; a batch in rows.
            state, episode_start: as in Stable-Baselines3, for policies with a memory. This has none.
            deterministic: the policy's mean, which evaluations score; otherwise an action as it explores, drawn from the stream
                of :meth:`seed`.

        Returns:
            Actions in the environment's units, within its bounds, and None for the state.

        Raises:
            UsageError: when the observation has another size.
        """
        rows = np.ascontiguousarray(observation, np.float64)
        single = rows.ndim == 1
        if rows.ndim not in (1, 2) or rows.shape[-1] != self.observation_dim:
            raise UsageError(
                f"an observation has {self.observation_dim} numbers, a batch one in each row: the shape {rows.shape} is neither"
            )
        wide = np.frombuffer(self._native.act(rows.tobytes(), deterministic)).reshape(-1, self.low.size)
        actions: NDArray[np.float32] = np.clip(wide, self.low, self.high).astype(np.float32).reshape(-1, *self._shape)
        return (actions.reshape(self._shape) if single else actions), None

    def seed(self, seed: int) -> None:
        """Begins anew the random numbers of actions that are not deterministic. A policy that was just loaded has the seed 0."""
        self._native.seed(seed)

    def __repr__(self) -> str:
        return f"<ddppo.Policy after {self.step} steps: {self.observation_dim} numbers to {self.low.size}>"


def load(path: PathLike, best: bool = False) -> Policy:
    """The policy of the run in a folder.

    Args:
        path: the run's folder.
        best: the one that was scored best, instead of the newest.

    Raises:
        UsageError: when there is no run, or it has saved nothing.
    """
    return Policy(path, best)
