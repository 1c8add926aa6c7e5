"""Whether exported policies act as the run's own does: ONNX by onnxruntime, safetensors by numpy.

    check_export.py FOLDER TOLERANCE

FOLDER has policy.onnx, policy.safetensors and expected.safetensors: observations [n, |S|] and the actions [n, |A|] of the run's policy.
A difference counts in units of the largest action of its coordinate. Prints what it found; exit code 1 where something differs.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from safetensors import safe_open
from safetensors.numpy import load_file

folder, tolerance = Path(sys.argv[1]), float(sys.argv[2])
expected = load_file(folder / "expected.safetensors")
observations, actions = expected["observations"], expected["actions"]
bad = []


def compare(name, found, low, high):
    """The worst difference, in units of the largest action."""
    if found.shape != actions.shape:
        bad.append(name)
        print(f"{name}: {found.shape} instead of {actions.shape}")
        return
    largest = np.maximum(np.abs(low), np.abs(high))
    worst = (np.abs(found - actions) / largest).max()
    print(f"{name}: {worst:.2e}")
    if not worst <= tolerance:
        bad.append(name)


def by_numpy(tensors, header):
    """The policy by the layout that docs/export.md describes, in double precision."""
    x = observations.astype(np.float64)
    if "input.mean" in tensors:
        x = (x - tensors["input.mean"]) / tensors["input.deviation"]
    layer = 0
    while f"hidden.{layer}.weight" in tensors:
        x = x @ tensors[f"hidden.{layer}.weight"] + tensors[f"hidden.{layer}.bias"]
        x = np.maximum(x, 0) if header["activation"] == "relu" else x / (1 + np.exp(-x))
        layer += 1
    mean = x @ tensors["mean.weight"] + tensors["mean.bias"]
    return tensors["action.scale"] * np.tanh(mean) + tensors["action.bias"]


tensors = {name: tensor.astype(np.float64) for name, tensor in load_file(folder / "policy.safetensors").items()}
with safe_open(folder / "policy.safetensors", framework="numpy") as file:
    header = json.loads(file.metadata()["policy"])
low, high = tensors["action.low"], tensors["action.high"]
compare("safetensors", by_numpy(tensors, header), low, high)
assert ("spread.weight" in tensors) == (header["head"] != "deterministic"), header

model = onnx.load(folder / "policy.onnx")
onnx.checker.check_model(model, full_check=True)
session = onnxruntime.InferenceSession(folder / "policy.onnx", providers=["CPUExecutionProvider"])
(given,), (taken,) = session.get_inputs(), session.get_outputs()
assert (given.name, given.type, given.shape) == ("observation", "tensor(float)", ["batch", observations.shape[1]]), given
assert (taken.name, taken.type, taken.shape) == ("action", "tensor(float)", ["batch", actions.shape[1]]), taken
compare("onnx", session.run(["action"], {"observation": observations})[0], low, high)
alone = [session.run(None, {"observation": row[None]})[0][0] for row in observations]
compare("onnx, row by row", np.array(alone), low, high)

# Both files say the same of themselves.
meta = session.get_modelmeta()
said = {key: value if key in ("program", "task", "method") else json.loads(value) for key, value in meta.custom_metadata_map.items()}
layout = {key: header.pop(key) for key in ("layout", "activation", "head")}
assert layout["layout"] == "ddppo-policy-1", layout
assert said == header, (said, header)
assert meta.producer_name == "ddppo" and meta.version == header["step"] and header["task"] in meta.description, meta
assert (header["observation_dim"], header["action_dim"]) == (observations.shape[1], actions.shape[1]), header
assert header["action_low"] == low.tolist() and header["action_high"] == high.tolist(), header
assert [(o.domain, o.version) for o in model.opset_import] == [("", 13)] and model.ir_version == 7, model.opset_import
print(json.dumps(header))

# Saturated everywhere, any policy would agree.
moving = (np.abs(actions - tensors["action.bias"]) < 0.99 * tensors["action.scale"]).mean()
print(f"{moving:.0%} of the actions are within their range")
if moving < 0.3:
    bad.append("the observations")
sys.exit(1 if bad else 0)
