"""HTTP with bounds: a client must get to its request in time, and say in few words what it wants."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_SECONDS = 10
HEADER_BYTES = 2**16
TOO_LARGE = f"The header of a request must have at most {HEADER_BYTES} bytes"


class BoundedHttp(HttpToolsProtocol):
    """Uvicorn's protocol, where the header of a request is whole within 10 s and 64 KiB, or the connection is closed.

    The seconds start with the connection, and anew with every reply: they run while nobody waits for the server.
    """

    _timer: asyncio.TimerHandle | None = None  # it looks whether the seconds are over
    _since: float | None = 0.0  # when they started; None while somebody waits for the server
    _size = 0  # bytes of the header that is being read
    _in_header = True

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A client is there."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._timer = self.loop.call_later(HEADER_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """A client is gone."""
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a client are there, of a header or a body."""
        before = self._in_header
        super().data_received(data)
        if before and self._in_header:
            self._size += len(data)
            if self._size > HEADER_BYTES:
                self._refuse(TOO_LARGE)

    def on_message_begin(self) -> None:
        """A header begins."""
        super().on_message_begin()
        self._in_header, self._size = True, 0

    def on_headers_complete(self) -> None:
        """A header is whole."""
        self._in_header, self._since = False, None
        self._size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if self._size > HEADER_BYTES:
            raise ValueError(TOO_LARGE)  # the parser ends then, and Uvicorn refuses the request
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no request is refused."""
        super().send_400_response(TOO_LARGE if self._size > HEADER_BYTES else msg)

    def on_response_complete(self) -> None:
        """A reply is sent."""
        self._since = None if self.pipeline else self.loop.time()
        super().on_response_complete()

    def _look(self):
        left = HEADER_SECONDS if self._since is None else self._since + HEADER_SECONDS - self.loop.time()
        if left > 0:
            self._timer = self.loop.call_later(left, self._look)
        elif self._size and self._in_header:
            self._refuse(f"The header of a request must come within {HEADER_SECONDS} seconds")
        else:  # it has asked nothing
            self.transport.close()

    def _refuse(self, sentence):
        if not self.transport.is_closing():
            self.send_400_response(sentence)
