"""A bar for notebooks, where there is no terminal."""

import html
import json
import sys
import time
import warnings
from typing import Any

#: Seconds between two pictures.
EVERY = 0.25


def in_notebook() -> bool:
    """Whether output goes to a notebook's cell."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class Bar:
    """A bar in the cell's output, with the latest return."""

    def __init__(self) -> None:
        from IPython.display import display

        self._handle: Any = display(self._picture(0, 1, ""), display_id=True)
        self._first: tuple[float, int] | None = None
        self._shown = 0.0
        self._return = ""

    def __call__(self, step: int, steps: int, records: list[str], notices: list[str]) -> None:
        for notice in notices:
            warnings.warn(notice, stacklevel=2)
        for record in map(json.loads, records):
            if record["kind"] == "evaluation" and isinstance(record.get("return_mean"), float):
                self._return = f"return {record['return_mean']:.1f}"
        now = time.monotonic()
        if step == 0 or now - self._shown < EVERY and step < steps:
            return
        self._first = self._first or (now, step)
        since, first = self._first
        pace = f"{(step - first) / (now - since):.1f} steps/s" if now > since and step > first else ""
        self._shown = now
        self._handle.update(self._picture(step, steps, f"{pace} {self._return}"))

    @staticmethod
    def _picture(step: int, steps: int, text: str) -> Any:
        from IPython.display import HTML

        return HTML(f'<progress value="{step}" max="{steps}"></progress> {step:,}/{steps:,} steps {html.escape(text)}')
