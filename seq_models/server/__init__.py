"""A development server that speaks TensorFlow Serving's REST and gRPC API, on the same engine.

It is optional: `pip install "seq_models[serve]"` brings what it needs, and nothing else in the package imports it.

It differs from TensorFlow Serving on purpose where a developer is better off:

- It listens on this machine only unless `--host` says otherwise, and `--rest_api_port` is 8501, not off. The port 0 is
  a free one, not none.
- A base path without versions, or a first version that cannot be loaded, ends the start with a sentence; TensorFlow
  Serving waits for a version, or tries five times a minute apart. A later version that cannot be loaded is tried
  again when its files change, and five times a minute apart.
- A base path that is away, cannot be listed, or is the empty place where a disk was, keeps what is loaded.
- A tensor whose rank is not that of the signature is refused before it reaches the graph, where it could end the
  process; and one whose shape is not that of its values: they may be left out for 64 KiB of the array at most.
- Requests have a largest size, `--max_request_bytes`, which also holds after unpacking (413, RESOURCE_EXHAUSTED); a
  body must arrive within `--rest_api_timeout_in_ms`, and a header within 10 s and 64 KiB.
- A body that is no UTF-8 is refused; a text output that is none is mended, so that the reply stays JSON.
- With `--enable_batching`, inputs that differ in their inner dimensions run in other batches and do not fail, and a
  request that fails does so alone: a batch that fails runs again in halves.
- What is no JSON is refused in a sentence of our own.
- Requests for models that the server never had are not counted in the metrics.
- Graphs run in many threads; small requests are read and replies written in one, very large ones one after the other in
  another one, little by little.

It has not got: Classify, Regress and MultiInference, which take examples of features and not texts (UNIMPLEMENTED, over
REST 501); streaming, session run, TLS, Unix sockets, request logs, remote file systems; and of the batching parameters
only `max_batch_size`, `batch_timeout_micros`, `max_enqueued_batches` and `num_batch_threads`.
"""

from seq_models.server.flags import parse_flags
from seq_models.server.run import Server, serve

__all__ = ["Server", "parse_flags", "serve"]
