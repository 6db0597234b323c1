"""The files of `serving/` agree with each other, with the demo, and with what a server takes."""

import re
import subprocess
from pathlib import PurePosixPath

import pytest
from deployment_fixtures import (
    ARGUMENTS,
    AUTOSCALER,
    BUDGET,
    CLAIM,
    COMPOSE,
    CONFIG_MAP,
    CONTAINER,
    DEPLOYMENT,
    HEADLESS,
    INFERENCE,
    MODELS,
    MONITOR,
    POD,
    ROOT,
    SERVICE,
    SERVING,
    documents,
    flags,
    rest_stub,
)
from grpc_client import GrpcClient
from rest_client import RestClient

from seq_models.errors import InputError
from seq_models.server.config import read_batching, read_configs, read_monitoring

IMAGE = "tensorflow/serving:2.20.0"
CONFIG = SERVING / "config"
READERS = {"models.config": read_configs, "batching.config": read_batching, "monitoring.config": read_monitoring}
SERVED = read_configs(CONFIG / "models.config")
# The flags of tensorflow_model_server 2.20 that may be of use here, and what they take.
FLAGS = {
    "allow_version_labels_for_unavailable_models": "true|false",
    "batching_parameters_file": "/.+",
    "enable_batching": "true|false",
    "enable_grpc_healthcheck_service": "true|false",
    "enable_model_warmup": "true|false",
    "enable_per_model_batching_parameters": "true|false",
    "file_system_poll_wait_seconds": r"\d+",
    "grpc_channel_arguments": r"grpc\.\w+=\w+(,grpc\.\w+=\w+)*",
    "grpc_socket_path": "/.+",
    "model_base_path": "/.+",
    "model_config_file": "/.+",
    "model_config_file_poll_wait_seconds": r"\d+",
    "model_name": r"[\w-]+",
    "monitoring_config_file": "/.+",
    "port": r"\d+",
    "rest_api_enable_cors_support": "true|false",
    "rest_api_port": r"\d+",
    "rest_api_timeout_in_ms": r"\d+",
    "ssl_config_file": "/.+",
    "tensorflow_inter_op_parallelism": r"\d+",
    "tensorflow_intra_op_parallelism": r"\d+",
}


@pytest.fixture
def rest():
    with rest_stub() as stub:
        yield stub


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("models.config", "base_path", "path"),
        ("models.config", "value: 1", "value: one"),
        ("batching.config", "num_batch_threads", "batch_threads"),
        ("batching.config", "{ value: 64 }", "64"),
        ("monitoring.config", "enable: true", "enabled: true"),
    ],
)
def test_a_mistake_in_a_configuration_file_is_refused(tmp_path, name, right, wrong):
    text = (CONFIG / name).read_text("utf-8")
    READERS[name](CONFIG / name)
    assert right in text
    (tmp_path / name).write_text(text.replace(right, wrong), "utf-8")
    with pytest.raises(InputError):
        READERS[name](tmp_path / name)


def test_the_models_are_those_of_the_demo_each_in_the_directory_of_its_name():
    assert [model.name for model in SERVED] == MODELS
    assert all(PurePosixPath(model.base_path) == PurePosixPath("/models", model.name) for model in SERVED)


def test_a_label_names_a_version_that_is_served():
    labelled = [model for model in SERVED if model.version_labels]
    assert labelled
    for model in labelled:
        assert set(model.version_labels.values()) <= set(model.model_version_policy.specific.versions)


def test_batches_run_on_as_many_threads_as_there_are_cpus():
    threads = read_batching(CONFIG / "batching.config")["num_batch_threads"]
    assert threads == int(CONTAINER["resources"]["limits"]["cpu"])


def test_the_metrics_are_read_where_the_server_writes_them():
    [scrape] = documents("config/prometheus.yml")[0]["scrape_configs"]
    [endpoint] = MONITOR["spec"]["endpoints"]
    assert read_monitoring(CONFIG / "monitoring.config") == scrape["metrics_path"] == endpoint["path"]
    [[target]] = [config["targets"] for config in scrape["static_configs"]]
    host, port = target.split(":")
    assert host in COMPOSE["services"] and port == flags(ARGUMENTS["compose"])["rest_api_port"]
    assert endpoint["port"] in {port["name"] for port in SERVICE["spec"]["ports"]}


def test_the_config_map_holds_the_files():
    assert CONFIG_MAP["data"] == {name: (CONFIG / name).read_text("utf-8") for name in READERS}


@pytest.mark.parametrize("words", [*ARGUMENTS.values(), INFERENCE["spec"]["predictor"]["model"]["args"]])
def test_every_flag_is_one_of_the_server(words):
    for name, value in flags(words).items():
        assert re.fullmatch(FLAGS[name], value), name


def test_compose_and_kubernetes_run_the_same_server():
    compose, kubernetes = map(flags, ARGUMENTS.values())
    assert "max_connection_age_ms" in kubernetes.pop("grpc_channel_arguments")
    assert compose == kubernetes
    assert COMPOSE["services"]["serving"]["entrypoint"] == CONTAINER["command"] == ["tensorflow_model_server"]
    assert "batching_parameters_file" not in compose or compose["enable_batching"] == "true"  # it would not start


def test_the_image_is_the_same_everywhere_and_pinned():
    assert COMPOSE["services"]["serving"]["image"] == CONTAINER["image"] == IMAGE
    assert INFERENCE["spec"]["predictor"]["model"]["runtimeVersion"] == IMAGE.rpartition(":")[2]
    files = [path.read_text("utf-8") for path in SERVING.rglob("*") if path.suffix in (".yml", ".yaml", ".md")]
    named = {image for text in files for image in re.findall(r"tensorflow/serving:?[\w.]*", text)}
    assert named == {IMAGE}


def test_the_server_is_of_the_minor_version_of_tensorflow_that_exports():
    pinned = re.search(r"^tensorflow==(\d+\.\d+)", (ROOT / "constraints.txt").read_text("utf-8"), re.M).group(1)
    assert IMAGE.partition(":")[2].startswith(f"{pinned}.")


@pytest.mark.parametrize("words", ARGUMENTS.values(), ids=ARGUMENTS)
def test_ports_are_those_of_the_flags(words):
    ports = [flags(words)[name] for name in ("port", "rest_api_port")]
    assert COMPOSE["services"]["serving"]["ports"] == [f"127.0.0.1:{port}:{port}" for port in ports]
    assert [str(port["containerPort"]) for port in CONTAINER["ports"]] == ports
    assert [str(port["port"]) for port in SERVICE["spec"]["ports"]] == ports
    assert RestClient.ADDRESS.endswith(f":{ports[1]}") and GrpcClient.ADDRESS.endswith(f":{ports[0]}")


def test_every_configuration_file_is_mounted_read_only_where_the_flags_say():
    mounts = {mount["target"]: mount for mount in COMPOSE["services"]["serving"]["volumes"]}
    assert mounts["/models"]["read_only"] and mounts["/config"]["read_only"]
    named = {value for name, value in flags(ARGUMENTS["compose"]).items() if name.endswith("_file")}
    there = {path.name for path in (SERVING / mounts["/config"]["source"]).iterdir()}
    assert named == {f"/config/{name}" for name in READERS} and there >= READERS.keys()
    [*_, mount] = [mount for mount in COMPOSE["services"]["prometheus"]["volumes"] if mount["type"] == "bind"]
    assert (SERVING / mount["source"]).is_file()


def test_the_volumes_of_the_pods_hold_models_and_files_read_only():
    mounts = {mount["mountPath"]: mount for mount in CONTAINER["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    assert mounts["/models"]["readOnly"] and mounts["/config"]["readOnly"] and "subPath" not in mounts["/config"]
    claim = volumes[mounts["/models"]["name"]]["persistentVolumeClaim"]
    assert claim == {"claimName": CLAIM["metadata"]["name"], "readOnly": True}
    assert volumes[mounts["/config"]["name"]]["configMap"]["name"] == CONFIG_MAP["metadata"]["name"]
    assert INFERENCE["spec"]["predictor"]["model"]["storageUri"] == f"pvc://{CLAIM['metadata']['name']}/classifier"


def test_threads_are_as_many_as_the_limit_of_cpus():
    model = INFERENCE["spec"]["predictor"]["model"]
    limits = COMPOSE["services"]["serving"]["deploy"]["resources"]["limits"]["cpus"]
    for words, cpus in [
        (ARGUMENTS["compose"], limits),
        (ARGUMENTS["kubernetes"], CONTAINER["resources"]["limits"]["cpu"]),
        (model["args"], model["resources"]["limits"]["cpu"]),
    ]:
        assert {flags(words)[f"tensorflow_{kind}_op_parallelism"] for kind in ("intra", "inter")} == {cpus}
    for resources in (CONTAINER["resources"], model["resources"]):
        assert resources["requests"] == resources["limits"]


def test_probes_ask_for_ports_and_a_loaded_model_never_for_a_prediction():
    ports = {port["name"] for port in CONTAINER["ports"]}
    ready = CONTAINER["readinessProbe"]["httpGet"]
    assert re.fullmatch(r"/v1/models/([\w-]+)/metadata", ready["path"]).group(1) in MODELS
    assert ready["port"] in ports
    for name in ("startupProbe", "livenessProbe"):
        assert CONTAINER[name]["tcpSocket"]["port"] in ports


def test_a_pod_answers_what_it_took_before_it_ends():
    longest = int(flags(ARGUMENTS["kubernetes"])["rest_api_timeout_in_ms"]) / 1000
    sleep = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert longest < sleep < POD["terminationGracePeriodSeconds"]


def test_services_budget_autoscaler_and_monitor_find_the_pods():
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == BUDGET["spec"]["selector"]["matchLabels"] == labels
    assert SERVICE["spec"]["selector"] == HEADLESS["spec"]["selector"] == labels
    assert SERVICE["metadata"]["labels"] == MONITOR["spec"]["selector"]["matchLabels"]
    target = AUTOSCALER["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", DEPLOYMENT["metadata"]["name"])
    assert "replicas" not in DEPLOYMENT["spec"]  # each apply would undo what the autoscaler did
    assert AUTOSCALER["spec"]["minReplicas"] > BUDGET["spec"]["maxUnavailable"]


@pytest.mark.parametrize(("reply", "code"), [((200, {}), 0), ((404, {}), 1), ((503, {}), 1), (None, 1)])
def test_the_health_check_of_compose_is_well_only_when_the_model_is_loaded(rest, reply, code):
    kind, *words = COMPOSE["services"]["serving"]["healthcheck"]["test"]
    assert kind == "CMD" and words[:2] == ["bash", "-c"]
    port = rest.server_port
    if reply is None:
        port = 1  # nobody listens
    else:
        rest.replies.append(reply)
    command = [*words[:2], words[2].replace("/8501", f"/{port}")]
    assert subprocess.run(command, capture_output=True, timeout=20).returncode == code
