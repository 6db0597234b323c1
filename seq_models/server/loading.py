"""How a version is loaded: with the threads that the flags say, and its warm-up requests run."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from tensorflow.core.protobuf.config_pb2 import ConfigProto

from seq_models.exports import warmup
from seq_models.server.grpc_service import question_of
from seq_models.server.servable import Servable
from seq_models.server.service import fitted


def loader(options: Namespace) -> Callable[[Path, int], Servable]:
    """A function of the directory and number of a version, that gives it ready to answer.

    Args:
        options: The flags of the server.
    """
    config = ConfigProto(
        intra_op_parallelism_threads=options.tensorflow_intra_op_parallelism,
        inter_op_parallelism_threads=options.tensorflow_inter_op_parallelism,
        gpu_options={"allow_growth": True},  # or else one server would take the whole device
    )

    def load(path, number):
        servable = Servable(path, number, config)
        if options.enable_model_warmup:
            try:
                _warm_up(servable, path, (0, options.rest_api_timeout_in_ms))  # as gRPC and REST will run it
            except BaseException:
                servable.close()
                raise
        return servable

    return load


def _warm_up(servable, path, timeouts_in_ms):
    """Runs the warm-up requests of a version, with each limit of time: for each the engine prepares anew."""
    for request in warmup.read(path):
        run = fitted(servable, question_of(request))
        for timeout_in_ms in timeouts_in_ms:
            servable.run(*run, timeout_in_ms)
