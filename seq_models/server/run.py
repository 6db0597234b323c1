"""A server from its start to its end."""

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import grpc
import tensorflow as tf
import uvicorn
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from seq_models.errors import InputError
from seq_models.server.batching import Batcher
from seq_models.server.config import configured_models, read_batching, read_configs, read_monitoring
from seq_models.server.grpc_service import Messages, ModelService, PredictionService
from seq_models.server.http import HEADER_SECONDS, BoundedHttp
from seq_models.server.loading import loader
from seq_models.server.metrics import Metrics
from seq_models.server.models import Models
from seq_models.server.polling import every
from seq_models.server.rest import RestApi
from seq_models.server.service import Entrypoint, Service
from seq_models.server.status import RequestError

GRACE = 5  # seconds that requests have to end when the server does
SILENCE = 60  # seconds after a complaint about the network
BACKLOG = 128  # connections that wait; asyncio tries so often to take one, also when it has no file handle left
LOG = logging.getLogger(__name__)


class Server:
    """Both APIs on their ports, within a `with` block.

    The ports open when the models are ready. `port` and `rest_api_port` are their numbers then.

    Args:
        options: Of `parse_flags`.
    Raises:
        InputError: On entry, if a model cannot be loaded, a file is malformed or a port is in use.
    """

    def __init__(self, options: Namespace):
        self._options = options
        self._ends: list[Callable[[], Any]] = []  # what to do at the end, the last first
        self.port: int | None = None
        self.rest_api_port: int | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_) -> None:
        self._stop()

    def _stop(self):
        while self._ends:
            self._ends.pop()()

    def _start(self):
        options = self._options
        metrics_path = read_monitoring(options.monitoring_config_file) if options.monitoring_config_file else None
        configs = configured_models(options)
        rest_socket = self._claim("--rest_api_port", options.rest_api_port)
        if options.port:  # to know now: to load models takes long
            self._claim("--port", options.port).close()
        models = self._load(configs)
        aside = ThreadPoolExecutor(1, "aside")  # one: of more, each would only be slower
        self._ends.append(aside.shutdown)
        self._open(Service(models, Metrics(), aside, self._batcher()), rest_socket, metrics_path)

    def _load(self, configs):
        options = self._options
        models = Models(loader(options), options.allow_version_labels_for_unavailable_models)
        self._ends.append(models.stop)
        try:
            models.set(configs)
        except RequestError as error:
            raise InputError(f"A model must load. Received: {error.message}") from error
        if options.file_system_poll_wait_seconds:
            models.watch(options.file_system_poll_wait_seconds)
        if options.model_config_file and options.model_config_file_poll_wait_seconds:
            self._watch_config(models, options.model_config_file, options.model_config_file_poll_wait_seconds)
        return models

    def _watch_config(self, models, path, seconds):
        stopped = threading.Event()
        self._ends.append(stopped.set)

        used = Path(path).read_text("utf-8")

        def look():
            nonlocal used
            try:
                new = Path(path).read_text("utf-8")
                if new != used:
                    configs = read_configs(path)
                    used = new
                    models.set(configs)
            except (OSError, UnicodeDecodeError, InputError, RequestError) as error:
                raise InputError(f"{path} is not used: {error}") from error

        every(seconds, stopped, look, "config")

    def _batcher(self):
        options = self._options
        if not options.enable_batching:
            return None
        parameters = read_batching(options.batching_parameters_file) if options.batching_parameters_file else {}
        batcher = Batcher(**parameters)
        self._ends.append(batcher.stop)
        return batcher

    def _claim(self, flag, port):
        """A socket at a port; it does not listen yet."""
        host = self._options.host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Of TCP by name: asyncio turns off the waiting for more bytes only where it reads that.
        claimed = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._ends.append(claimed.close)
        claimed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            claimed.bind((host, port))
        except OSError as error:
            raise InputError(
                f"{flag} and --host must be a free port of this machine. Received: {host}:{port}, {error.strerror}"
            ) from error
        return claimed

    def _open(self, service, rest_socket, metrics_path):
        """Both APIs, in one event loop; returns when they answer."""
        opened = Future()
        apis = self._apis(service, rest_socket, metrics_path, opened)
        thread = threading.Thread(target=asyncio.run, args=(apis,), name="apis", daemon=True)
        thread.start()
        self._ends.append(thread.join)
        loop, ended = opened.result()
        self._ends.append(lambda: loop.call_soon_threadsafe(ended.set))

    async def _apis(self, service, rest_socket, metrics_path, opened):
        ended = asyncio.Event()
        asyncio.get_running_loop().set_exception_handler(_Complaints())
        try:
            async with self._grpc(service), self._rest(service, rest_socket, metrics_path):
                opened.set_result((asyncio.get_running_loop(), ended))
                await ended.wait()
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)

    @contextlib.asynccontextmanager
    async def _grpc(self, service):
        options = self._options
        limits = {
            "grpc.max_receive_message_length": options.max_request_bytes,
            "grpc.max_send_message_length": -1,
            "grpc.server_handshake_timeout_ms": 1000 * HEADER_SECONDS,
            "grpc.so_reuseport": 0,
        }
        server = grpc.aio.server(interceptors=[Messages()], options=list(limits.items()))
        pool = ThreadPoolExecutor(options.grpc_max_threads, "grpc")
        predictions = PredictionService(service, Entrypoint("GRPC", pool))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(predictions, server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(service.models), server)
        if options.enable_grpc_healthcheck_service:
            health_pb2_grpc.add_HealthServicer_to_server(await _health(), server)
        host = f"[{options.host}]" if ":" in options.host else options.host
        try:
            self.port = server.add_insecure_port(f"{host}:{options.port}")
        except RuntimeError as error:
            raise InputError(f"--port must be a free port. Received: {options.port}, {error}") from error
        await server.start()
        try:
            yield
        finally:
            await server.stop(GRACE)
            pool.shutdown()

    @contextlib.asynccontextmanager
    async def _rest(self, service, rest_socket, metrics_path):
        pool = ThreadPoolExecutor(self._options.rest_api_num_threads, "rest")
        entrypoint = Entrypoint("REST", pool, self._options.rest_api_timeout_in_ms)
        config = uvicorn.Config(
            RestApi(service, entrypoint, self._options, metrics_path).application(),
            log_config=None,
            access_log=False,
            lifespan="off",
            http=BoundedHttp,
            ws="none",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE,
            backlog=BACKLOG,
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([rest_socket]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if not server.started:  # another process listens since the port was claimed
            problem = f"--rest_api_port must be a free port. Received: {self._options.rest_api_port}"
            raise InputError(problem) from serving.exception()
        self.rest_api_port = rest_socket.getsockname()[1]
        try:
            yield
        finally:
            server.should_exit = True
            await serving
            pool.shutdown()


class _Complaints:
    """What an event loop calls with an error; that a connection cannot be taken it says hundreds of times a second."""

    def __init__(self):
        self._silent_until = 0.0

    def __call__(self, loop, context):
        error = context.get("exception")
        if isinstance(error, ValueError) and "Invalid file descriptor" in str(error):
            return  # asyncio tries again to listen, hundreds of times, on a socket that was closed at the end
        if not isinstance(error, OSError):
            loop.default_exception_handler(context)
        elif loop.time() >= self._silent_until:
            self._silent_until = loop.time() + SILENCE
            LOG.warning("REST: %s: %s", context["message"], error)


async def _health():
    servicer = health.aio.HealthServicer()
    for name in ("", "ModelService", "PredictionService"):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    return servicer


def serve(options: Namespace) -> None:
    """Runs a server until SIGTERM or SIGINT.

    Args:
        options: Of `parse_flags`.
    Raises:
        InputError: See `Server`.
    """
    logging.basicConfig(format="%(message)s")
    logging.getLogger("seq_models").setLevel(logging.INFO)
    logging.getLogger("grpc").setLevel(logging.CRITICAL)  # it prints a trace for each message that is no proto
    tf.get_logger().setLevel(logging.ERROR)  # it warns that the loader of version 1, the server's, is an old one
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with Server(options) as server:
        rest = f"http://{options.host}:{server.rest_api_port}/v1/models"
        print(f"gRPC at {options.host}:{server.port}, REST at {rest}", flush=True)
        ended.wait()
