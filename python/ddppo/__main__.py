"""``python -m ddppo``: the whole program."""

import signal
import sys

from ddppo import _native


def main() -> int:
    """Runs the command line and returns its exit code."""
    # Signals are the program's, as they are without Python around it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _native.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
