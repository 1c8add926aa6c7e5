"""Whether TensorBoard's own reader finds a run's metrics in its event files, each number once.

    check_events.py RUN

Prints {"files", "events", "restarts", "films": [[step, pictures], …], "wall_times": {step: first seen}} as JSON; exit code 1 and a sentence
where something differs.
"""

import io
import json
import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader, LegacyEventFileLoader
from tensorboard.backend.event_processing.plugin_event_accumulator import TENSORS, EventAccumulator
from tensorboard.util import tensor_util

run = Path(sys.argv[1])
files = sorted(run.glob("*tfevents*"))


def expected():
    """(tag, step, number in 32 bits) of every number in metrics.jsonl."""
    for line in (run / "metrics.jsonl").read_text().splitlines():
        line = json.loads(line)
        step, kind, time = line.pop("step"), line.pop("kind"), line.pop("time")
        times = {f"time.{name}": value for name, value in time.items()}
        for name, value in (line | times).items():
            if not isinstance(value, list):
                with np.errstate(over="ignore"):
                    yield f"{kind}/{name}", step, float(np.float32(float(value)))


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


found, texts, films, restarts, events, wall_times = [], [], [], 0, 0, {}
for file in files:
    # As it lies in the file, and as TensorBoard makes it from that.
    raw = list(LegacyEventFileLoader(str(file)).Load())
    assert raw[0].file_version == "brain.Event:2", raw[0]
    restarts += sum(event.HasField("session_log") for event in raw)
    for event in EventFileLoader(str(file)).Load():
        events += 1
        for value in event.summary.value:
            kind = value.metadata.plugin_data.plugin_name
            array = tensor_util.make_ndarray(value.tensor)
            if kind == "scalars":
                wall_times.setdefault(event.step, event.wall_time)
                found.append((value.tag, event.step, float(array)))
            elif kind == "text":
                texts.append((value.tag, array.reshape(-1)[0].decode()))
            elif kind == "images":
                width, height, gif = array.reshape(-1)[:3]
                picture = Image.open(io.BytesIO(gif))
                assert (picture.width, picture.height) == (int(width), int(height)) and picture.format == "GIF"
                films.append((value.tag, event.step, picture.n_frames))
            else:
                sys.exit(f"{value.tag} is of plugin {kind!r}")

wanted = list(expected())
if [(tag, step) for tag, step, _ in found] != [(tag, step) for tag, step, _ in wanted]:
    missing = set(w[:2] for w in wanted) - set(f[:2] for f in found)
    more = [f[:2] for f in found if f[:2] not in set(w[:2] for w in wanted)]
    sys.exit(f"{len(found)} numbers instead of {len(wanted)}: missing {sorted(missing)[:5]}, too many {more[:5]}")
for (tag, step, number), (_, _, right) in zip(found, wanted):
    if not same(number, right):
        sys.exit(f"{tag} at {step} is {number}, not {right}")
assert len(texts) == len(files) and texts[0][0] == "configuration", texts
config = "".join(line.removeprefix("    ") for line in texts[0][1].splitlines(keepends=True))
if config != (run / "config.toml").read_text():
    sys.exit(f"the configuration is {config}")
steps = [step for _, step, _ in films]
assert steps == sorted(set(steps)) and all(tag == "evaluation/film" for tag, _, _ in films), films

# What TensorBoard itself shows.
accumulator = EventAccumulator(str(run), size_guidance={TENSORS: 0}).Reload()
shown = {tag for tag in accumulator.Tags()["tensors"] if accumulator.SummaryMetadata(tag).plugin_data.plugin_name == "scalars"}
if shown != {tag for tag, _, _ in wanted}:
    sys.exit(f"TensorBoard shows {sorted(shown)}")
for tag in shown:
    steps = [event.step for event in accumulator.Tensors(tag)]
    if steps != [step for other, step, _ in wanted if other == tag]:
        sys.exit(f"TensorBoard shows {tag} at {steps}")
films = [film[1:] for film in films]
print(json.dumps({"files": len(files), "events": events, "restarts": restarts, "films": films, "wall_times": wall_times}))
