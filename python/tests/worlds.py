"""Small environments of the tests' own, without MuJoCo."""

import gymnasium
import numpy as np

#: Settings so small that a step takes a few milliseconds.
SMALL = {
    "training.warmup_steps": 100,
    "training.batch_size": 64,
    "training.min_transitions": 64,
    "training.model_every_steps": 50,
    "training.policy_updates_per_step": 2,
    "training.critic_updates_per_step": 2,
    "model.members": 2,
    "model.elites": 2,
    "model.hidden": 32,
    "model.layers": 2,
    "model.weight_decay": [0, 0, 0],
    "model.patience_epochs": 2,
    "policy.hidden": 32,
    "critic.hidden": 32,
    "rollout.starts": 500,
    "rollout.capacity_per_step": 2000,
    "evaluation.every_steps": 100,
    "evaluation.episodes": 2,
    "checkpoint.every_steps": 50,
}


class Cart(gymnasium.Env):
    """A cart on a rail that is to be brought to the middle, and falls off beyond 2. The bounds of its action are unusual."""

    def __init__(self, length: int = 40) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = gymnasium.spaces.Box(np.float32(1.0), np.float32(5.0), (1,), np.float32)
        self.length, self.count, self.cart = length, 0, np.zeros(2)

    def _observation(self) -> np.ndarray:
        return self.cart.astype(np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count, self.cart = 0, np.array([self.np_random.uniform(-1, 1), 0.0])
        return self._observation(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        push = (float(action[0]) - 3.0) / 2.0
        self.cart[1] += 0.2 * push + 0.01 * self.np_random.normal()
        self.cart[0] += 0.2 * self.cart[1]
        self.count += 1
        fallen = bool(abs(self.cart[0]) > 2)
        reward = -abs(self.cart[0]) - (10.0 if fallen else 0.0)
        return self._observation(), reward, fallen, self.count >= self.length, {}


class SavedCart(Cart):
    """One that can save its state."""

    def get_state(self):
        return [*self.cart, self.count]

    def set_state(self, state):
        self.cart, self.count = state[:2].copy(), int(state[2])
