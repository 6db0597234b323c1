"""Load on a server: so many clients, each asking again as soon as it is answered.

python serving/clients/load.py --model classifier --clients 8 --seconds 10

They are threads of this one process. Where its CPU is the limit, start it several times.
"""

import argparse
import itertools
import math
import sys
import threading
import time

from rest_client import RestClient
from retrying import ServingError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from texts import read_texts

TEXTS = [
    "the library was not boring",
    "the pilots book the flights",
    "the green witch arrived",
    "the doctor was kind , but the book was boring",
    "she reads the old book that the airline was canceling , and the flights were full",
]


def measure(call, clients, seconds, watch=None):
    """Calls again and again, `clients` at a time, for `seconds`.

    Args:
        call: Takes nothing; an exception is an error of the server.
        watch: Takes the seconds that are over, ten times a second.
    Returns:
        p50, p95, p99: latency of what was answered, in milliseconds; None if nothing was.
        throughput: answers a second.
        errors: the count of calls that raised.
    """
    latencies, errors = [], []
    started = time.monotonic()
    end = started + seconds
    threads = [threading.Thread(target=_client, args=(call, end, latencies, errors)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    while watch and time.monotonic() < end:
        watch(time.monotonic() - started)
        time.sleep(0.1)
    for thread in threads:
        thread.join()
    elapsed = time.monotonic() - started  # the last answers come after the end
    percentiles = {f"p{share}": percentile(latencies, share) for share in (50, 95, 99)}
    return {**percentiles, "throughput": len(latencies) / elapsed, "errors": len(errors)}


def _client(call, end, latencies, errors):
    while (started := time.monotonic()) < end:
        try:
            call()
        except Exception as error:
            errors.append(str(error))
        else:
            latencies.append(1000 * (time.monotonic() - started))


def percentile(values, share):
    """The smallest value that at least `share` percent of the values do not exceed; None of no values."""
    return sorted(values)[max(0, math.ceil(share / 100 * len(values)) - 1)] if values else None


def caller(client, model, texts, batch=1, **options):
    """A call for `measure`: the next texts to a model, from the first again after the last."""
    endless = itertools.cycle(texts)

    def call():
        return client.predict(model, {"text": list(itertools.islice(endless, batch))}, **options)

    return call


def main(arguments=None):
    """Prints requests a second, latencies and errors.

    Returns:
        The exit code: 0, or 2 after one sentence on standard error.
    """
    options = _parser().parse_args(arguments)
    try:
        client = _connected(options)
        call = caller(client, options.model, _texts(options.texts), options.batch, signature=options.signature)
        call()  # says what is wrong before the load begins, and opens a connection
    except (ServingError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    _print(_measured_with_bar(call, options.clients, options.seconds))
    client.close()
    return 0


def _connected(options):
    client_class = RestClient
    if options.grpc:
        from grpc_client import GrpcClient as client_class  # imports TensorFlow
    # One attempt: what the server refuses is an error here.
    return client_class(options.address or client_class.ADDRESS, options.deadline, attempts=1)


def _texts(path):
    if path is None:
        return TEXTS
    texts = [line for line in read_texts(path) if line.strip()]
    if not texts:
        raise ServingError(f"{path} must hold a text a line. Received: none")
    return texts


def _measured_with_bar(call, clients, seconds):
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"{clients} clients", total=seconds)
        return measure(call, clients, seconds, lambda elapsed: progress.update(task, completed=elapsed))


def _print(result):
    print(f"{result['throughput']:.1f} requests/s")
    for name in ("p50", "p95", "p99"):
        value = result[name]
        print(f"{name} {'-' if value is None else f'{value:.1f} ms'}")
    print(f"{result['errors']} errors")


def _parser():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--signature", default="serving_default", help="one with the input `text`")
    parser.add_argument("--grpc", action="store_true", help="instead of REST")
    parser.add_argument("--address", help="default: this machine")
    parser.add_argument("--clients", type=_positive(int), default=8, help="at a time")
    parser.add_argument("--seconds", type=_positive(float), default=10.0)
    parser.add_argument("--batch", type=_positive(int), default=1, help="texts in a request")
    parser.add_argument("--texts", help="file with a text a line; default: a few built-in ones")
    parser.add_argument("--deadline", type=_positive(float), default=10.0, help="seconds for a request")
    return parser


def _positive(kind):
    def positive(text):
        value = kind(text)
        if not value > 0:
            raise ValueError
        return value

    return positive


if __name__ == "__main__":
    sys.exit(main())
