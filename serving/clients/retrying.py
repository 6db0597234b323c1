"""Calls that may fail for a moment: a server that restarts, or whose queue is full."""

import random
import time


class ServingError(Exception):
    """A prediction that did not come; the message is one sentence that says why."""


class Unavailable(ServingError):
    """The server is not there or has no room: the same call may succeed a little later."""


def retried(call, deadline, attempts):
    """Calls until there is an answer, with pauses that double and differ between clients.

    Args:
        call: Takes the seconds that are left. A prediction changes nothing, so that it may be asked for twice.
        deadline: Seconds for all attempts and pauses together.
        attempts: How often to call at most.
    Raises:
        ServingError: If the last attempt does.
    """
    end = time.monotonic() + deadline
    pause = 0.1
    while True:
        attempts -= 1
        try:
            return call(end - time.monotonic())
        except Unavailable:
            wait = pause * random.uniform(0.5, 1)  # else all clients of a full server come back at the same moment
            if attempts <= 0 or time.monotonic() + wait >= end:
                raise
        time.sleep(wait)
        pause *= 2
