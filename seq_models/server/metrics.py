"""Counters of requests and of their time, under the names of TensorFlow Serving's metrics."""

from grpc import StatusCode
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

MICROSECONDS = tuple(10 * 1.8**power for power in range(33))
REQUEST_COUNT = ":tensorflow:serving:request_count"


class Metrics:
    """The counters of one server."""

    def __init__(self):
        self._registry = CollectorRegistry()
        self._requests = Counter(
            REQUEST_COUNT, "The total number of requests.", ["model_name", "status"], registry=self._registry
        )
        self._latency = self._histogram("request", "entrypoint")
        self._runtime = self._histogram("runtime", "runtime")

    def _histogram(self, name, label):
        return Histogram(
            f":tensorflow:serving:{name}_latency",
            f"Distribution of wall time (in microseconds) of a {name}.",
            ["model_name", "API", label],
            buckets=MICROSECONDS,
            registry=self._registry,
        )

    def count(self, model: str, entrypoint: str, status: StatusCode, seconds: float) -> None:
        """Counts a request to predict.

        Args:
            model: A name that the server has; a client's inventions would fill the memory.
            entrypoint: "REST" or "GRPC".
            status: How it ended; of requests that failed no time is taken.
            seconds: How long it took.
        """
        self._requests.labels(model, status.name).inc()
        if status is StatusCode.OK:
            self._latency.labels(model, "Predict", entrypoint).observe(seconds * 1e6)

    def count_run(self, model: str, seconds: float) -> None:
        """Counts a run of a graph."""
        self._runtime.labels(model, "Predict", "TF1").observe(seconds * 1e6)

    def page(self) -> bytes:
        """All figures, as Prometheus reads them."""
        lines = generate_latest(self._registry).decode("utf-8").splitlines()
        kept = [line for line in lines if "_created" not in line.partition("{")[0]]  # TensorFlow Serving has none
        text = "\n".join(kept) + "\n"
        # The library ends a counter's name in _total, TensorFlow Serving does not.
        return text.replace(f"{REQUEST_COUNT}_total", REQUEST_COUNT).encode("utf-8")
