"""A development server that speaks TensorFlow Serving's REST and gRPC API."""

from seq_models.serving.server.flags import parse_flags
from seq_models.serving.server.run import Server, serve

__all__ = ["Server", "parse_flags", "serve"]
