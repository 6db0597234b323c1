"""The flags of the server: names of TensorFlow Serving's, and two of ours."""

import argparse
import os

THREADS = 4 * (os.cpu_count() or 1)
MEBIBYTE = 2**20


def parse_flags(arguments: list[str]) -> argparse.Namespace:
    """The options of a server, for `Server` and `serve`, from the words of a command line.

    Raises:
        SystemExit: If a flag is unknown or its value malformed; after `--help`.
    """
    parser = argparse.ArgumentParser(
        "seq-models serve", description="a development server with TensorFlow Serving's API", allow_abbrev=False
    )
    _add_models(parser.add_argument_group("models"))
    _add_ports(parser.add_argument_group("ports and limits"))
    _add_engine(parser.add_argument_group("engine"))
    options = parser.parse_args(arguments)
    if options.batching_parameters_file and not options.enable_batching:
        parser.error("--batching_parameters_file is for --enable_batching only")
    return options


def _add_models(group):
    what = group.add_mutually_exclusive_group(required=True)
    what.add_argument("--model_base_path", metavar="DIR", help="the directory of one model's versions: DIR/1, DIR/2, …")
    what.add_argument("--model_base", metavar="DIR", help="a directory of models: DIR/NAME/1, …")
    what.add_argument("--model_config_file", metavar="FILE", help="a ModelServerConfig as text: many models, labels")
    group.add_argument("--model_name", default="default", help="that of --model_base_path (default: %(default)s)")
    _add_switch(group, "--enable_model_warmup", True, "replay assets.extra/tf_serving_warmup_requests before serving")
    _add_switch(group, "--allow_version_labels_for_unavailable_models", False, "labels may come before their version")
    _add_seconds(group, "--file_system_poll_wait_seconds", 1, "between two looks for versions; 0 for one look only")
    _add_seconds(group, "--model_config_file_poll_wait_seconds", 0, "between two looks at the config file; 0 for one")


def _add_ports(group):
    group.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    group.add_argument("--port", type=_port, default=8500, help="of gRPC; 0 for a free one (default: %(default)s)")
    group.add_argument(
        "--rest_api_port", type=_port, default=8501, help="of REST; 0 for a free one (default: %(default)s)"
    )
    group.add_argument(
        "--grpc_max_threads", type=_positive, default=THREADS, metavar="N", help="(default: %(default)s)"
    )
    group.add_argument(
        "--rest_api_num_threads", type=_positive, default=THREADS, metavar="N", help="(default: %(default)s)"
    )
    group.add_argument(
        "--rest_api_timeout_in_ms", type=_positive, default=30000, metavar="MS", help="(default: %(default)s)"
    )
    group.add_argument(
        "--max_request_bytes",
        type=_bytes,
        default=64 * MEBIBYTE,
        metavar="N",
        help="a larger request, also one larger when unpacked, is refused (default: %(default)s)",
    )
    _add_switch(group, "--rest_api_enable_cors_support", False, "browsers may ask from pages of other hosts")
    _add_switch(group, "--enable_grpc_healthcheck_service", False, "answer grpc.health.v1.Health")
    group.add_argument("--monitoring_config_file", metavar="FILE", help="a MonitoringConfig as text: metrics over REST")


def _add_engine(group):
    group.add_argument("--tensorflow_intra_op_parallelism", type=_natural, default=0, metavar="N", help="0: all cores")
    group.add_argument("--tensorflow_inter_op_parallelism", type=_natural, default=0, metavar="N", help="0: all cores")
    _add_switch(group, "--enable_batching", False, "join requests that come together")
    group.add_argument("--batching_parameters_file", metavar="FILE", help="BatchingParameters as text")


def _add_switch(group, name, default, help):
    group.add_argument(
        name,
        nargs="?",
        type=_switch,
        const=True,
        default=default,
        metavar="BOOL",
        help=f"{help} (default: %(default)s)",
    )


def _add_seconds(group, name, default, help):
    group.add_argument(name, type=_natural, default=default, metavar="SECONDS", help=f"{help} (default: %(default)s)")


def _switch(text):
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"must be true or false. Received: {text}")
    return values[text.lower()]


def _natural(text):
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0. Received: {text}")
    return int(text)


def _positive(text):
    if _natural(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1. Received: {text}")
    return int(text)


def _bytes(text):
    if _positive(text) >= 2**31:  # what gRPC can be told
        raise argparse.ArgumentTypeError(f"must be below {2**31}. Received: {text}")
    return int(text)


def _port(text):
    if _natural(text) > 65535:
        raise argparse.ArgumentTypeError(f"must be a port, 0 to 65535. Received: {text}")
    return int(text)
