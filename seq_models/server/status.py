"""How a request fails: a code of gRPC, a sentence, and what HTTP calls that code."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import tensorflow as tf
from grpc import StatusCode

BY_NUMBER = {code.value[0]: code for code in StatusCode}
HTTP_STATUS = {
    StatusCode.OK: 200,
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.FAILED_PRECONDITION: 400,
    StatusCode.OUT_OF_RANGE: 400,
    StatusCode.UNAUTHENTICATED: 401,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.NOT_FOUND: 404,
    StatusCode.ALREADY_EXISTS: 409,
    StatusCode.ABORTED: 409,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.CANCELLED: 499,
    StatusCode.UNKNOWN: 500,
    StatusCode.INTERNAL: 500,
    StatusCode.DATA_LOSS: 500,
    StatusCode.UNIMPLEMENTED: 501,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DEADLINE_EXCEEDED: 504,
}


class RequestError(Exception):
    """A request cannot be answered.

    Args:
        code: A `grpc.StatusCode`.
        message: What the client is told.
    """

    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> RequestError:
    """The commonest error: the request itself is wrong."""
    return RequestError(StatusCode.INVALID_ARGUMENT, message)


@contextmanager
def errors_of_tensorflow() -> Iterator[None]:
    """Lets an error of TensorFlow's C++ side within it be a RequestError with its code and its text.

    Raises:
        RequestError: In place of a `tf.errors.OpError`.
    """
    try:
        yield
    except tf.errors.OpError as error:
        raise RequestError(BY_NUMBER[error.error_code], error.message) from error
    except UnicodeDecodeError as error:  # the text holds bytes of the request, and its code is lost on the way
        raise invalid(error.object.decode("utf-8", "replace")) from error
