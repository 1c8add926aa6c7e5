"""What goes wrong, each in the program's one sentence."""


class Error(Exception):
    """A run that cannot go on, a file that cannot be used. ``__cause__`` is the exception of your own code that it began with."""


class UsageError(Error, ValueError):
    """A mistake that other arguments would have mended."""
