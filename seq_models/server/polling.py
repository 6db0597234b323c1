"""Looks that the server takes again and again, whatever becomes of one of them."""

import logging
import threading
from collections.abc import Callable

from seq_models.errors import InputError
from seq_models.server.status import RequestError

LOG = logging.getLogger(__name__)


class Report:
    """Says what is wrong once, not at every look, and again when it is something else.

    Args:
        subject: What a sentence starts with.
    """

    def __init__(self, subject: str):
        self._subject = subject
        self.problem = ""  # of the last look

    def wrong(self, error: Exception) -> None:
        """A look has failed."""
        if str(error) != self.problem:
            expected = isinstance(error, InputError | RequestError | OSError)
            LOG.warning("%s: %s", self._subject, error, exc_info=None if expected else error)
        self.problem = str(error)

    def right(self) -> None:
        """A look has not failed."""
        if self.problem:
            LOG.warning("%s: as it should be again", self._subject)
        self.problem = ""


def every(seconds: float, stopped: threading.Event, look: Callable[[], None], name: str) -> None:
    """Calls `look` in the background until `stopped`; an error is logged, and it goes on.

    Args:
        seconds: The time between two calls.
        stopped: Ends it when it is set.
        look: What is called.
        name: Of its thread, and in the log.
    """
    report = Report(name)

    def loop():
        while not stopped.wait(seconds):
            try:
                look()
                report.right()
            except Exception as error:
                report.wrong(error)

    threading.Thread(target=loop, name=name, daemon=True).start()
