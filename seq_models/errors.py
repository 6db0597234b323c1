"""The exceptions of this package: for what a user handed in, and for a worker that is lost."""

from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """A file, option or value from outside is not what was expected.

    The message is one sentence that says what was expected and, for data, starts with `file:line:`.
    The command line prints it and leaves with exit code 2.
    """


class ExportRefused(InputError):
    """An export does not hold what a server needs, or does not answer as the model does."""


class WorkerLost(RuntimeError):
    """Another worker of a training has not come, or has gone: all started again go on from the last checkpoint."""


@contextmanager
def options_from_outside() -> Iterator[None]:
    """Within it, a ValueError about an argument is an InputError: the argument came from the command line."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        raise InputError(str(error)) from error
