"""The package as it is installed: run by tests/python.rs with an interpreter that has nothing else, away from the source."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import types
import unittest
import unittest.mock
import warnings

import gymnasium
import mujoco
import numpy as np

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

import worlds

import ddppo
from ddppo import _environment

#: The program of the command line.
PROGRAM = os.environ["DDPPO_PROGRAM"]


def bits(folder: pathlib.Path) -> dict[str, object]:
    """All that a run is: the newest checkpoint, however its rows are divided among files, and the metrics without seconds."""
    steps = [int(path.name) for path in (folder / "checkpoints").iterdir() if path.name.isdigit()]
    newest = folder / "checkpoints" / str(max(steps))
    state = json.loads((newest / "state.json").read_text())
    rows = {}
    for name, parts in state.pop("tables").items():
        files = [(folder / "checkpoints/rows" / part["file"]).read_bytes() for part in parts]
        # Behind eight bytes of its length and a header, numbers.
        rows[name] = b"".join(file[8 + int.from_bytes(file[:8], "little") :] for file in files)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    metrics = [{name: value for name, value in line.items() if name != "time"} for line in lines]
    return {"newest": newest.name, "state": state, "numbers": (newest / "state.safetensors").read_bytes(), "metrics": metrics, **rows}


def session(world: str, folder: pathlib.Path, how: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", str(HERE / "session.py"), world, str(folder), how]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder.parent)


class Package(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        warnings.simplefilter("ignore")

    def assert_same(self, one: pathlib.Path, other: pathlib.Path) -> None:
        first, second = bits(one), bits(other)
        self.assertEqual(first.keys(), second.keys())
        for name in first:
            self.assertTrue(first[name] == second[name], f"{name} differs between {one.name} and {other.name}")


class Installed(Package):
    def test_it_is_the_installed_package(self) -> None:
        self.assertIn("site-packages", importlib.util.find_spec("ddppo").origin)
        self.assertEqual(mujoco.__version__, "3.17.0")

    def test_one_call_trains_and_what_came_of_it_can_be_used(self) -> None:
        run = ddppo.train("PointMass", seed=3, steps=300, out=self.folder / "run", progress=False, **nested(worlds.SMALL))
        self.assertEqual((run.config["seed"], run.config["policy"]["hidden"]), (3, 32))
        evaluation = run.evaluate(4, seed=7)
        shown = subprocess.run(
            [PROGRAM, "evaluate", str(run.path), "--episodes", "4", "--seed", "7"], capture_output=True, text=True, check=True
        ).stdout
        for score in evaluation.returns:
            self.assertIn(f"{score:10.2f}", shown)
        table = run.metrics("evaluation")
        self.assertEqual(table["step"].tolist(), [100, 200, 300])
        self.assertEqual(table["return_mean"].dtype, np.float64)
        self.assertEqual(len(table["returns"][0]), 2)
        self.assertIn("time.evaluation", run.metrics())
        plot = run.plot()
        self.assertTrue(all(file.stat().st_size > 1000 for file in plot.files))
        self.assertIn("<svg", plot._repr_svg_())

    def test_predict_has_the_signature_that_others_have(self) -> None:
        ddppo.train(worlds.Cart, steps=150, out=self.folder / "run", progress=False, settings=worlds.SMALL)
        policy = ddppo.load(self.folder / "run", best=True)
        self.assertEqual((policy.step, policy.observation_dim), (100, 2))
        batch = np.random.default_rng(0).normal(size=(50, 2))
        actions, state = policy.predict(batch, deterministic=True)
        self.assertEqual((actions.shape, actions.dtype, state), ((50, 1), np.float32, None))
        self.assertTrue((actions >= 1).all() and (actions <= 5).all() and actions.std() > 0)
        for row, action in zip(batch, actions):
            self.assertTrue(np.array_equal(policy.predict(row, None, None, True)[0], action))
        policy.seed(5)
        one, two = policy.predict(batch)[0], policy.predict(batch)[0]
        policy.seed(5)
        self.assertFalse(np.array_equal(one, two))
        self.assertTrue(np.array_equal(one, policy.predict(batch)[0]))
        with self.assertRaisesRegex(ddppo.UsageError, r"an observation has 2 numbers.*\(3,\)"):
            policy.predict([1, 2, 3])

    def test_a_notebook_gets_a_bar_of_its_own(self) -> None:
        pictures: list[str] = []

        class Handle:
            update = staticmethod(pictures.append)

        shown = types.ModuleType("IPython.display")
        shown.HTML, shown.display = str, lambda *_, **__: Handle
        notebook = types.ModuleType("IPython")
        notebook.get_ipython, notebook.display = lambda: types.SimpleNamespace(kernel=1), shown
        with unittest.mock.patch.dict(sys.modules, {"IPython": notebook, "IPython.display": shown}):
            ddppo.train("PointMass", steps=200, out=self.folder / "run", settings=worlds.SMALL)
        self.assertIn('value="200" max="200"', pictures[-1])
        self.assertIn("return ", pictures[-1])

    def test_the_program_is_there_whole(self) -> None:
        ask = lambda *words: subprocess.run([sys.executable, "-m", "ddppo", *words], capture_output=True, text=True)
        ours = subprocess.run([PROGRAM, "tasks"], capture_output=True, text=True).stdout
        self.assertEqual(ask("tasks").stdout, ours)
        wrong = ask("train", "Hoper")
        self.assertEqual((wrong.returncode, wrong.stderr.count("\n")), (2, 1), wrong.stderr)
        self.assertEqual(ask("train", "--nonsense").returncode, 2)
        self.assertEqual(ask("--version").stdout, subprocess.run([PROGRAM, "--version"], capture_output=True, text=True).stdout)


class Equal(Package):
    def test_a_seed_gives_the_same_bits_here_and_on_the_command_line(self) -> None:
        settings = [f"--set={key}={value}" for key, value in worlds.SMALL.items()]
        command = [PROGRAM, "train", "InvertedPendulum", "--seed", "4", "--steps", "200", "--quiet", *settings]
        subprocess.run([*command, "--out", str(self.folder / "there")], check=True, stdout=subprocess.DEVNULL)
        ddppo.train(
            "InvertedPendulum", seed=4, steps=200, out=self.folder / "here", progress=False, threads=1, settings=worlds.SMALL
        )
        self.assert_same(self.folder / "here", self.folder / "there")

    def test_runs_that_were_killed_or_interrupted_go_on_to_the_same_bits(self) -> None:
        for world in ("hopper", "saved-cart"):
            whole = session(world, self.folder / f"{world}-whole", "whole")
            self.assertEqual(whole.returncode, 0, whole.stderr)
            for how, code in (("killed", -9), ("interrupted", 0)):
                folder = self.folder / f"{world}-{how}"
                stopped = session(world, folder, how)
                self.assertEqual(stopped.returncode, code, stopped.stderr)
                if how == "interrupted":
                    self.assertIn(f'saved at step 170; go on with `ddppo.Run("{folder}").resume()`', stopped.stdout)
                # Ctrl-C saves; what is killed goes back to the last checkpoint.
                self.assertEqual(bits(folder)["newest"], "150" if how == "killed" else "170")
                resumed = session(world, folder, "resumed")
                self.assertEqual(resumed.returncode, 0, resumed.stderr)
                self.assert_same(self.folder / f"{world}-whole", folder)

    def test_what_cannot_save_its_state_says_so_and_loses_an_episode(self) -> None:
        folder = self.folder / "run"
        session("cart", folder, "killed")
        run = ddppo.Run(folder, worlds.Cart)
        self.assertEqual((run.exact, run.unsaved), (False, "Cart has no `get_state` and `set_state`"))
        resumed = session("cart", folder, "resumed")
        self.assertIn("warning: step 151: the environment cannot save its state", resumed.stderr)
        self.assertEqual(np.nansum(run.metrics("train")["unstable_steps"]), 1)

    def test_the_state_of_every_mujoco_environment_is_whole(self) -> None:
        names = [
            "Ant", "HalfCheetah", "Hopper", "Humanoid", "HumanoidStandup", "InvertedDoublePendulum", "InvertedPendulum", "Pusher",
            "Reacher", "Swimmer", "Walker2d",
        ]  # fmt: skip
        for name in names:
            make = lambda: gymnasium.make(f"{name}-v5")
            env = make()
            running = _environment.Running(env, _environment.Description(env, None, None))
            actions = np.random.default_rng(1).uniform(running.low, running.high, (30, running.low.size))
            running.reset(5)
            for action in actions[:15]:
                running.step(action.tobytes())
            state = running.state()
            whole = [running.step(action.tobytes()) for action in actions[15:]]
            self.assertGreater(len({step[0] for step in whole}), 3, name)
            other = _environment.Running(make(), running.description)
            other.reset(6)
            other.restore(state)
            self.assertEqual([other.step(action.tobytes()) for action in actions[15:]], whole, name)
            env.close()


class Environments(Package):
    def test_a_world_of_python_is_learned(self) -> None:
        settings = {**worlds.SMALL, "evaluation.episodes": 20}
        for key in ("policy.hidden", "critic.hidden", "model.hidden"):
            settings[key] = 64
        for key in ("training.policy_updates_per_step", "training.critic_updates_per_step"):
            settings[key] = 5
        run = ddppo.train(worlds.Cart, seed=1, steps=800, out=self.folder / "run", progress=False, settings=settings)
        # Random pushes score -26, none at all -18; seeds 1 to 3 come to -5.7 to -6.1.
        self.assertGreater(run.evaluate(50).mean, -8)

    def test_a_cut_is_no_end(self) -> None:
        env = worlds.Cart(length=3)
        running = _environment.Running(env, _environment.Description(env, None, 10))
        running.reset(0)
        steps = [running.step(np.array([3.0]).tobytes())[2:] for _ in range(3)]
        self.assertEqual(steps, [(False, False), (False, False), (False, True)])
        limited = gymnasium.wrappers.TimeLimit(worlds.Cart(), 7)
        self.assertEqual(_environment.Description(limited, None, None).time_limit, 7)

    def test_a_function_can_say_what_ends_an_episode(self) -> None:
        rows = []

        def fallen(observations: np.ndarray) -> np.ndarray:
            rows.append(len(observations))
            return np.abs(observations[:, 0]) > 2

        folder = self.folder / "run"
        run = ddppo.train(worlds.Cart, steps=150, out=folder, progress=False, settings=worlds.SMALL, terminated=fallen)
        self.assertEqual(run.config["model"]["termination"], "given")
        self.assertGreater(max(rows), 50)
        with self.assertRaisesRegex(ddppo.UsageError, "trained with a function for `terminated`: give it again"):
            ddppo.Run(folder, worlds.Cart).resume(steps=160)
        with self.assertRaisesRegex(ddppo.Error, "`terminated` raised ZeroDivisionError"):
            ddppo.Run(folder, worlds.Cart, lambda _: 1 / 0).resume(steps=160, progress=False)
        learned = ddppo.train(worlds.Cart, steps=5, out=self.folder / "other", progress=False, settings=worlds.SMALL)
        self.assertEqual(learned.config["model"]["termination"], "learned")

    def test_callbacks_hear_and_stop(self) -> None:
        heard = []
        train = lambda name, **more: ddppo.train(
            "PointMass", steps=250, out=self.folder / name, progress=False, settings=worlds.SMALL, **more
        )
        run = train("one", on_step=lambda step, _: step < 42)
        self.assertEqual(bits(run.path)["newest"], "42")
        run.resume(progress=False, on_evaluation=lambda step, record: heard.append((step, record["return_mean"])))
        self.assertEqual([step for step, _ in heard], [100, 200])
        run = train("two", on_evaluation=lambda step, _: False)
        self.assertEqual(bits(run.path)["newest"], "100")
        with self.assertRaises(ZeroDivisionError):
            train("three", on_step=lambda step, _: 1 / (step - 9))
        self.assertEqual(bits(self.folder / "three")["newest"], "9")

    def test_mistakes_are_told_in_a_sentence(self) -> None:
        class Box(worlds.Cart):
            def __init__(self, **spaces) -> None:
                super().__init__()
                vars(self).update(spaces)

        box, discrete = gymnasium.spaces.Box, gymnasium.spaces.Discrete(3)
        dictionary = gymnasium.spaces.Dict(x=box(-1, 1, (2,)))
        env = lambda **spaces: lambda: Box(**spaces)
        old = type("Old", (worlds.Cart,), {"step": lambda self, action: (self._observation(), 0.0, False, {})})
        raises = type("Raises", (worlds.Cart,), {"step": lambda self, action: [][self.count]})
        for task, settings, sentence in [
            (env(observation_space=dictionary), {}, r"observations of Box are a Dict, and a Box .*FlattenObservation\(gymnasium.make"),
            (env(observation_space=discrete), {}, "observations of Box are a Discrete"),
            (env(observation_space=box(0, 255, (4, 4, 3))), {}, r"a Box of shape \(4, 4, 3\), and a Box of one dimension"),
            (env(action_space=discrete), {}, "actions of Box are Discrete, and a Box with finite bounds is needed"),
            (env(action_space=box(-np.inf, np.inf, (1,))), {}, "action 0 of Box has the bounds -inf and inf, and finite ones"),
            (env(observation_space=box(-1, 1, (3,))), {}, r"has the shape \(2,\), where its space says \(3,\)"),
            (worlds.Cart(), {}, "an environment is given as a function that makes one"),
            (lambda: 5, {}, "it lacks `observation_space`"),
            (old, {}, "of an older Gym"),
            ("-x", {}, "there is no task `-x`"),
            ("Hoper", {}, r"there is no task `Hoper` \(did you mean `Hopper`\?\)"),
            ("PointMass", {"policy.horizn": 3}, r"policy.horizn.*did you mean `policy.horizon`"),
            ("PointMass", {"policy": {"horizon": None}}, "a setting is a number, a text"),
        ]:
            with self.assertRaisesRegex(ddppo.UsageError, sentence) as caught:
                ddppo.train(task, steps=5, out=self.folder / "run", settings=settings, progress=False)
            self.assertNotIn("\n", str(caught.exception))
        for arguments, sentence in [
            ({"seed": -1}, "a seed is a whole number from 0"),
            ({"algo": "sacc"}, r"did you mean `sac`"),
            ({"horizon": 3}, "no argument `horizon`"),
            ({"settings": [1]}, "`settings` is a dictionary"),
            ({"mjcf": "arm.xml"}, "`task` must be the file that says what it is to do"),
            ({"terminated": False}, "are for environments of Python's"),
            ({"threads": 0}, "from 1 to 1024"),
        ]:
            with self.assertRaisesRegex(ddppo.UsageError, sentence):
                ddppo.train("PointMass", steps=5, out=self.folder / "run", **arguments)
        for arguments, sentence in [
            ({"name": "a/b"}, "cannot be that of a folder"),
            ({"time_limit": 0}, "must be from 1 to"),
            ({"terminated": True}, "`terminated` is None"),
            ({"algo": "mage"}, "mage cannot learn which imagined observations end an episode"),
        ]:
            with self.assertRaisesRegex(ddppo.UsageError, sentence):
                ddppo.train(worlds.Cart, steps=5, out=self.folder / "run", **arguments)
        for settings, sentence in [({"model.termination": "given"}, "must be `learned`"), ({"analysis.every_steps": 5}, "displace")]:
            with self.assertRaisesRegex(ddppo.Error, sentence):
                ddppo.train(worlds.Cart, steps=5, out=self.folder / "refused", settings={**worlds.SMALL, **settings})
            self.assertFalse((self.folder / "refused").exists(), "a refused run leaves no folder")
        with self.assertRaisesRegex(ddppo.Error, "`step` raised IndexError") as caught:
            later = lambda: raises() if made.append(1) or len(made) > 1 else worlds.Cart()
            made: list[int] = []
            ddppo.train(later, steps=5, out=self.folder / "raises", progress=False, settings=worlds.SMALL)
        self.assertIsInstance(caught.exception.__cause__, IndexError)
        with self.assertRaisesRegex(ddppo.UsageError, "is not the folder of a run"):
            ddppo.Run(self.folder)

    def test_the_program_says_whose_run_it_is(self) -> None:
        pendulum = type("Pendulum", (worlds.Cart,), {})
        run = ddppo.train(pendulum, steps=20, out=self.folder / "run", progress=False, settings=worlds.SMALL)
        self.assertEqual(run.config["task"], "Pendulum-python")
        asked = subprocess.run([PROGRAM, "resume", str(run.path)], capture_output=True, text=True)
        self.assertEqual((asked.returncode, asked.stderr.count("\n")), (2, 1), asked.stderr)
        self.assertIn("was trained in an environment of another program", asked.stderr)

    def test_mujoco_in_python_keeps_its_own_errors(self) -> None:
        ddppo.train("InvertedPendulum", steps=5, out=self.folder / "run", progress=False, settings=worlds.SMALL)
        with self.assertRaises(ValueError):
            mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom/></worldbody></mujoco>")
        model = mujoco.MjModel.from_xml_string("<mujoco/>")
        with self.assertRaises(mujoco.FatalError):
            mujoco.mj_setKeyframe(model, mujoco.MjData(model), 5)


def nested(settings: dict[str, object]) -> dict[str, dict[str, object]]:
    """Settings as sections."""
    sections: dict[str, dict[str, object]] = {}
    for key, value in settings.items():
        section, name = key.split(".")
        sections.setdefault(section, {})[name] = value
    return sections


if __name__ == "__main__":
    unittest.main(verbosity=2)
