"""The folder `serving/`: its files against schemas, protocol buffers and each other; its clients against a stub."""

import json
import re
import shlex
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath

import grpc
import jsonschema
import kubernetes_validate
import numpy as np
import pytest
import tensorflow as tf
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataResponse, SignatureDefMap
from tensorflow_serving.apis.predict_pb2 import PredictResponse
from tensorflow_serving.apis.prediction_service_pb2_grpc import (
    PredictionServiceServicer,
    add_PredictionServiceServicer_to_server,
)
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from seq_models import cli, demo

ROOT = Path(__file__).parents[1]
SERVING = ROOT / "serving"
sys.path.insert(0, str(SERVING / "clients"))

import command_line  # noqa: E402
import load  # noqa: E402
from grpc_client import GrpcClient  # noqa: E402
from rest_client import RestClient  # noqa: E402
from retrying import ServingError, Unavailable, retried  # noqa: E402
from tensors import from_tensor, to_tensor  # noqa: E402

IMAGE = "tensorflow/serving:2.20.0"
OLDEST, NEWEST = "1.31", "1.37"
METRICS = "/monitoring/prometheus/metrics"
MODELS = list(demo.RECIPES)
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


def documents(name):
    return list(yaml.safe_load_all((SERVING / name).read_text("utf-8")))


COMPOSE = documents("docker-compose.yml")[0]
DEPLOYMENT = documents("kubernetes/deployment.yaml")[0]
POD = DEPLOYMENT["spec"]["template"]["spec"]
[CONTAINER] = POD["containers"]
CONFIG_MAP = documents("kubernetes/configmap.yaml")[0]
CLAIM = documents("kubernetes/claim.yaml")[0]
SERVICE, HEADLESS = documents("kubernetes/service.yaml")
AUTOSCALER, BUDGET = documents("kubernetes/autoscaler.yaml")
MONITOR = documents("kubernetes/monitor.yaml")[0]
INFERENCE = documents("kserve/inference-service.yaml")[0]
MANIFESTS = [
    str(path.relative_to(SERVING)) for folder in ("kubernetes", "kserve") for path in (SERVING / folder).iterdir()
]
ARGUMENTS = {"compose": COMPOSE["services"]["serving"]["command"], "kubernetes": CONTAINER["args"]}
README = (SERVING / "README.md").read_text("utf-8")


def flags(words):
    """`--name=value` words as a dict."""
    pairs = [re.fullmatch(r"--(\w+)=(.+)", word).groups() for word in words]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


# Schemas.


def record(required, **optional):
    """The schema of an object with these fields and no others."""
    properties = {**required, **optional}
    return {"type": "object", "required": list(required), "additionalProperties": False, "properties": properties}


TEXT, WHOLE, FLAG = {"type": "string"}, {"type": "integer", "minimum": 1}, {"type": "boolean"}
TEXTS = {"type": "array", "items": TEXT}
DURATION = {"type": "string", "pattern": r"^\d+(ms|s|m|h)$"}
HEALTHCHECK = record({"test": TEXTS}, interval=DURATION, timeout=DURATION, retries=WHOLE, start_period=DURATION)
BIND = record(
    {"type": {"const": "bind"}, "source": TEXT, "target": TEXT, "read_only": {"const": True}},
    bind=record({"create_host_path": FLAG}),
)
VOLUME = record({"type": {"const": "volume"}, "source": TEXT, "target": TEXT})
LIMITS = record({"cpus": {"type": "string", "pattern": r"^\d+(\.\d+)?$"}, "memory": {"pattern": r"^\d+[mg]$"}})
COMPOSE_SERVICE = record(
    {"image": {"type": "string", "pattern": r":v?\d+\.\d+\.\d+$"}, "restart": {"enum": ["unless-stopped"]}},
    platform={"const": "linux/amd64"},
    init=FLAG,
    entrypoint=TEXTS,
    command=TEXTS,
    ports={"type": "array", "items": {"type": "string", "pattern": r"^127\.0\.0\.1:\d+:\d+$"}},
    volumes={"type": "array", "items": {"oneOf": [BIND, VOLUME]}},
    healthcheck=HEALTHCHECK,
    depends_on={"additionalProperties": record({"condition": {"enum": ["service_started", "service_healthy"]}})},
    deploy=record({"resources": record({"limits": LIMITS})}),
    stop_grace_period=DURATION,
    user={"type": "string", "pattern": r"^\d+:\d+$"},
    read_only=FLAG,
    tmpfs=TEXTS,
    cap_drop=TEXTS,
    security_opt=TEXTS,
)
COMPOSE_FILE = record(
    {"services": {"type": "object", "additionalProperties": COMPOSE_SERVICE}},
    name={"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"},
    volumes={"type": "object", "additionalProperties": record({})},
)
METADATA = record({"name": TEXT}, labels={"type": "object", "additionalProperties": TEXT})
ENDPOINT = record({"port": TEXT, "path": TEXT, "interval": DURATION})
SERVICE_MONITOR = record(
    {
        "apiVersion": {"const": "monitoring.coreos.com/v1"},
        "kind": {"const": "ServiceMonitor"},
        "metadata": METADATA,
        "spec": record(
            {
                "selector": record({"matchLabels": {"type": "object", "minProperties": 1}}),
                "endpoints": {"type": "array", "minItems": 1, "items": ENDPOINT},
            }
        ),
    }
)
KSERVE_FIELDS = {
    "modelFormat": record({"name": {"const": "tensorflow"}}, version=TEXT),
    "protocolVersion": {"enum": ["v1", "v2", "grpc-v1", "grpc-v2"]},
    "runtimeVersion": TEXT,
    "storageUri": {"type": "string", "pattern": "^(pvc|gs|s3|hf|oci)://."},
}
CONTAINER_FIELDS = {"args": TEXTS, "resources": {"type": "object"}}
PREDICTOR = record({"model": record(KSERVE_FIELDS, **CONTAINER_FIELDS)}, minReplicas=WHOLE, canaryTrafficPercent=WHOLE)
INFERENCE_SERVICE = record(
    {
        "apiVersion": {"const": "serving.kserve.io/v1beta1"},
        "kind": {"const": "InferenceService"},
        "metadata": METADATA,
        "spec": record({"predictor": PREDICTOR}),
    }
)
SCRAPE = record(
    {"job_name": TEXT, "metrics_path": TEXT, "static_configs": {"items": record({"targets": TEXTS})}},
    fallback_scrape_protocol={"enum": ["PrometheusText0.0.4", "PrometheusText1.0.0"]},
)
PROMETHEUS = record(
    {"scrape_configs": {"type": "array", "items": SCRAPE}}, **{"global": record({"scrape_interval": DURATION})}
)


def check(resource, version=NEWEST):
    """Against the schema of its kind; a field that the schema does not know is an error."""
    if resource["kind"] == "ServiceMonitor":
        jsonschema.validate(resource, SERVICE_MONITOR)
    elif resource["kind"] == "InferenceService":
        jsonschema.validate(resource, INFERENCE_SERVICE)
        model = resource["spec"]["predictor"]["model"]
        container = {"name": "model", **{name: model[name] for name in CONTAINER_FIELDS if name in model}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": {"containers": [container]}}
        kubernetes_validate.validate(pod, version, strict=True)
    else:
        kubernetes_validate.validate(resource, version, strict=True)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", MANIFESTS)
def test_the_schemas_accept_every_manifest(name, version):
    resources = documents(name)
    assert resources
    for resource in resources:
        check(resource, version)


def test_the_schemas_accept_compose_and_prometheus():
    jsonschema.validate(COMPOSE, COMPOSE_FILE)
    jsonschema.validate(documents("config/prometheus.yml")[0], PROMETHEUS)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("kubernetes/deployment.yaml", "readinessProbe", "readynessProbe"),
        ("kubernetes/deployment.yaml", "readOnlyRootFilesystem", "readOnlyFilesystem"),
        ("kubernetes/deployment.yaml", "seconds: 40", "seconds: forty"),
        ("kubernetes/deployment.yaml", "matchLabels", "matchLabel"),
        ("kubernetes/service.yaml", "clusterIP: None", "clusterIp: None"),
        ("kubernetes/autoscaler.yaml", "averageUtilization", "averageUse"),
        ("kubernetes/autoscaler.yaml", "maxUnavailable: 1", "maxUnavailable: [1]"),
        ("kubernetes/configmap.yaml", "data:", "date:"),
        ("kubernetes/claim.yaml", "ReadWriteMany", "7"),
        ("kubernetes/monitor.yaml", "interval: 15s", "interval: often"),
        ("kubernetes/monitor.yaml", "endpoints", "endpoint"),
        ("kserve/inference-service.yaml", "runtimeVersion", "runtimeversion"),
        ("kserve/inference-service.yaml", 'runtimeVersion: "2.20.0"', "runtimeVersion: 2.20"),
        ("kserve/inference-service.yaml", "limits:", "limit:"),
    ],
)
def test_the_schemas_refuse_a_mistake_in_a_manifest(name, right, wrong):
    text = (SERVING / name).read_text("utf-8")
    assert right in text
    with pytest.raises(jsonschema.ValidationError):
        for resource in yaml.safe_load_all(text.replace(right, wrong)):
            check(resource)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("127.0.0.1:8501:8501", "8501:8501"),
        ("read_only: true", "readonly: true"),
        ("read_only: true\n        bind", "read_only: false\n        bind"),
        ("serving:2.20.0", "serving:latest"),
        ("interval: 10s", "interval: 10"),
        ("healthcheck:", "health_check:"),
    ],
)
def test_the_schema_refuses_a_mistake_in_compose(right, wrong):
    text = (SERVING / "docker-compose.yml").read_text("utf-8")
    assert right in text
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text.replace(right, wrong)), COMPOSE_FILE)


# The files of configuration.


def message_class(name, fields, messages=()):
    """A message type of our own: the stubs have none for batching and monitoring.

    Fields are (name, type) with the type of a protocol buffer or the full name of a message.
    """
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package="test", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    for message_name, message_fields in [*messages, (name, fields)]:
        message = file.message_type.add(name=message_name)
        for number, (field, kind) in enumerate(message_fields, 1):
            added = message.field.add(name=field, number=number, label=3 if field.endswith("_sizes") else 1)
            if isinstance(kind, str):
                added.type, added.type_name = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE, kind
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"test.{name}"))


TYPES = descriptor_pb2.FieldDescriptorProto
INT64_VALUE = ".google.protobuf.Int64Value"
BATCHING = message_class(
    "BatchingParameters",
    [
        *((name, INT64_VALUE) for name in ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches")),
        ("num_batch_threads", INT64_VALUE),
        ("thread_pool_name", ".google.protobuf.StringValue"),
        ("allowed_batch_sizes", TYPES.TYPE_INT64),
        ("pad_variable_length_inputs", TYPES.TYPE_BOOL),
    ],
)
MONITORING = message_class(
    "MonitoringConfig",
    [("prometheus_config", ".test.PrometheusConfig")],
    [("PrometheusConfig", [("enable", TYPES.TYPE_BOOL), ("path", TYPES.TYPE_STRING)])],
)
CLASSES = {"models.config": ModelServerConfig, "batching.config": BATCHING, "monitoring.config": MONITORING}


def config(name):
    return text_format.Parse((SERVING / "config" / name).read_text("utf-8"), CLASSES[name]())


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
def test_the_messages_refuse_a_mistake(name, right, wrong):
    text = (SERVING / "config" / name).read_text("utf-8")
    assert right in text
    with pytest.raises(text_format.ParseError):
        text_format.Parse(text.replace(right, wrong), CLASSES[name]())


def test_the_models_are_those_of_the_demo_each_in_the_directory_of_its_name():
    models = config("models.config").model_config_list.config
    assert [model.name for model in models] == MODELS
    assert all(model.base_path == f"/models/{model.name}" and model.model_platform == "tensorflow" for model in models)


def test_a_label_names_a_version_that_is_served():
    labelled = [model for model in config("models.config").model_config_list.config if model.version_labels]
    assert labelled
    for model in labelled:
        assert set(model.version_labels.values()) <= set(model.model_version_policy.specific.versions)
        assert "stable" in model.version_labels


def test_the_lines_of_a_canary_are_ones_that_the_server_takes():
    [lines] = re.findall(r"```protobuf\n(.*?)```", README, re.S)
    model = text_format.Parse(f"model_config_list {{ config {{ {lines} }} }}", ModelServerConfig())
    [canary] = model.model_config_list.config
    assert canary.version_labels == {"stable": 1, "canary": 2}
    assert list(canary.model_version_policy.specific.versions) == [1, 2]


def test_batches_run_on_as_many_threads_as_there_are_cpus_and_the_rest_is_sensible():
    batching = config("batching.config")
    assert batching.num_batch_threads.value == int(CONTAINER["resources"]["limits"]["cpu"])
    assert 0 <= batching.batch_timeout_micros.value <= 5000
    assert batching.max_batch_size.value > 1 and batching.max_enqueued_batches.value > 0
    assert not batching.allowed_batch_sizes and not batching.pad_variable_length_inputs


def test_the_metrics_are_read_where_the_server_writes_them():
    monitoring = config("monitoring.config").prometheus_config
    [scrape] = documents("config/prometheus.yml")[0]["scrape_configs"]
    [endpoint] = MONITOR["spec"]["endpoints"]
    assert monitoring.enable
    assert monitoring.path == scrape["metrics_path"] == endpoint["path"] == METRICS
    assert scrape["static_configs"] == [{"targets": ["serving:8501"]}] and "serving" in COMPOSE["services"]


def test_the_config_map_holds_the_files():
    assert CONFIG_MAP["data"] == {name: (SERVING / "config" / name).read_text("utf-8") for name in CLASSES}


# Compose, Kubernetes and KServe.


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
    assert mounts["/config"]["source"] == "./config"
    assert mounts["/models"]["source"] == "${MODELS:-../demo/exports}"
    files = {value for name, value in flags(ARGUMENTS["compose"]).items() if name.endswith("_file")}
    assert files == {f"/config/{name}" for name in CLASSES}
    [*_, mount] = [mount for mount in COMPOSE["services"]["prometheus"]["volumes"] if mount["type"] == "bind"]
    assert (SERVING / mount["source"]).is_file() and mount["target"] == "/etc/prometheus/prometheus.yml"


def test_the_volumes_of_the_pods_hold_models_and_files_read_only():
    mounts = {mount["mountPath"]: mount for mount in CONTAINER["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    assert mounts["/models"]["readOnly"] and mounts["/config"]["readOnly"] and "subPath" not in mounts["/config"]
    claim = volumes[mounts["/models"]["name"]]["persistentVolumeClaim"]
    assert claim == {"claimName": CLAIM["metadata"]["name"], "readOnly": True}
    assert volumes[mounts["/config"]["name"]]["configMap"]["name"] == CONFIG_MAP["metadata"]["name"]
    assert all(PurePosixPath(model.base_path).parent == PurePosixPath("/models") for model in served())
    assert INFERENCE["spec"]["predictor"]["model"]["storageUri"] == f"pvc://{CLAIM['metadata']['name']}/classifier"


def served():
    return config("models.config").model_config_list.config


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
    assert ready["port"] == "http" and ready["port"] in ports
    for name in ("startupProbe", "livenessProbe"):
        assert CONTAINER[name]["tcpSocket"]["port"] in ports
    startup = CONTAINER["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 300


def test_a_pod_answers_what_it_took_before_it_ends():
    longest = int(flags(ARGUMENTS["kubernetes"])["rest_api_timeout_in_ms"]) / 1000
    sleep = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert longest < sleep < POD["terminationGracePeriodSeconds"]
    assert POD["shareProcessNamespace"] and COMPOSE["services"]["serving"]["init"]


def test_the_pods_have_no_rights_that_they_do_not_need():
    pod, inner = POD["securityContext"], CONTAINER["securityContext"]
    assert pod["runAsNonRoot"] and pod["runAsUser"] > 0 and pod["seccompProfile"]["type"] == "RuntimeDefault"
    assert not inner["allowPrivilegeEscalation"] and inner["capabilities"] == {"drop": ["ALL"]}
    assert inner["readOnlyRootFilesystem"] and not POD["automountServiceAccountToken"]
    serving = COMPOSE["services"]["serving"]
    assert serving["read_only"] and serving["cap_drop"] == ["ALL"] and serving["user"].split(":")[0] != "0"


def test_services_budget_autoscaler_and_monitor_find_the_pods():
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == BUDGET["spec"]["selector"]["matchLabels"] == labels
    assert SERVICE["spec"]["selector"] == HEADLESS["spec"]["selector"] == labels
    assert SERVICE["metadata"]["labels"] == MONITOR["spec"]["selector"]["matchLabels"]
    target = AUTOSCALER["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", DEPLOYMENT["metadata"]["name"])
    assert "replicas" not in DEPLOYMENT["spec"]  # each apply would undo what the autoscaler did
    assert AUTOSCALER["spec"]["minReplicas"] > BUDGET["spec"]["maxUnavailable"]


def test_grpc_has_a_headless_service_and_only_the_other_one_is_monitored():
    assert HEADLESS["spec"]["clusterIP"] == "None"
    assert [port["name"] for port in HEADLESS["spec"]["ports"]] == ["grpc"]
    assert {port["name"]: port["appProtocol"] for port in SERVICE["spec"]["ports"]} == {
        "grpc": "kubernetes.io/h2c",
        "http": "http",
    }
    assert [endpoint["port"] for endpoint in MONITOR["spec"]["endpoints"]] == ["http"]


# The page.


def shell_lines():
    """Commands of the page, without what is after their comment sign."""
    blocks = re.findall(r"```bash\n(.*?)```", README, re.S)
    return [shlex.split(line, comments=True) for block in blocks for line in block.splitlines() if line.strip()]


def test_the_page_names_files_that_are_there():
    files = set(re.findall(r"\b(?:serving|tests)/[\w./-]*\w", README))
    assert len(files) > 10 and all((ROOT / file).exists() for file in files)
    assert set(re.findall(r"serving/kubernetes/[\w.]+", README)) == {
        f"serving/{name}" for name in MANIFESTS if name.startswith("kubernetes")
    }


def test_the_commands_of_the_page_are_ones_that_their_programs_take(monkeypatch):
    parsers = {
        "rest_client.py": command_line._parser(RestClient),
        "grpc_client.py": command_line._parser(GrpcClient),
        "load.py": load._parser(),
    }
    seen = set()
    for words in shell_lines():
        seen.add(words[0])
        if words[0] == "python":
            assert parsers[Path(words[1]).name].parse_args(words[2:]).model in MODELS
        elif words[0] == "seq-models":
            cli._parser().parse_args(words[1:])
        elif words[0] == "curl":
            check_curl(words[1:])
    assert seen == {"python", "seq-models", "curl", "docker", "kubectl", "cp"}


def check_curl(words):
    [url] = [word for word in words if word.startswith("http")]
    assert url.startswith(f"{RestClient.ADDRESS}/v1/models/")
    if "-d" in words:
        assert json.loads(words[words.index("-d") + 1]).keys() == {"instances"}
        assert url.endswith(":predict")


def test_the_replies_of_the_page_are_written_as_the_server_writes_them():
    good, bad = re.findall(r"```json\n(.*?)```", README, re.S)
    [answer] = json.loads(good)["predictions"]
    assert list(answer) == ["label", "score", "probabilities"] and answer["score"] == max(answer["probabilities"])
    for written in re.findall(r"\d\.\d+", good):
        assert written == f"{np.float32(written):.9g}"
    assert list(json.loads(bad)) == ["error"]


def test_the_page_lists_the_models_of_the_demo():
    assert re.findall(r"^\| `([\w-]+)` \|", README, re.M) != []
    assert set(re.findall(r"^\| `([\w-]+)` \|", README, re.M)) == set(MODELS)


# The clients, against a stub.

ANSWER = {"label": ["positive", "negative"], "score": [0.75, 0.5]}
ROWS = [{"label": "positive", "score": 0.75}, {"label": "negative", "score": 0.5}]
TWO = ["a good book", "a bad book"]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")


class RestStub(BaseHTTPRequestHandler):
    """Answers what the server object says: a status and a body each, then the usual answer."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer(*(self.server.replies.pop(0) if self.server.replies else (200, {"model_spec": {}})))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, body))
        time.sleep(self.server.pause)
        self._answer(*(self.server.replies.pop(0) if self.server.replies else (200, {"outputs": ANSWER})))

    def _answer(self, status, body):
        content = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def rest():
    server = ThreadingHTTPServer(("127.0.0.1", 0), RestStub)
    server.replies, server.requests, server.pause = [], [], 0
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@contextmanager
def client_of(kind, server, **options):
    client = kind(server.address, **options)
    try:
        yield client
    finally:
        client.close()


def test_rest_asks_for_a_signature_of_the_newest_version_by_columns(rest):
    with client_of(RestClient, rest) as client:
        assert client.predict("classifier", {"text": TWO}) == ANSWER
    body = {"signature_name": "serving_default", "inputs": {"text": TWO}}
    assert rest.requests == [("/v1/models/classifier:predict", body)]


@pytest.mark.parametrize(
    ("options", "place"), [({"version": 3}, "/versions/3"), ({"label": "canary"}, "/labels/canary"), ({}, "")]
)
def test_rest_asks_for_a_version_or_a_label(rest, options, place):
    with client_of(RestClient, rest) as client:
        client.predict("my model", {"text": TWO}, "other", **options)
    [(path, body)] = rest.requests
    assert path == f"/v1/models/my%20model{place}:predict" and body["signature_name"] == "other"


def test_rest_tries_again_while_the_server_is_unavailable(rest):
    rest.replies += [(503, {"error": "the queue is full"})] * 2
    with client_of(RestClient, rest) as client:
        assert client.predict("classifier", {"text": TWO}) == ANSWER
    assert len(rest.requests) == 3


@pytest.mark.parametrize(
    ("reply", "said", "calls"),
    [
        ((404, {"error": "Servable not found for request: Latest(x)"}), r"answered 404: Servable not found .*\(x\)", 1),
        ((400, "<html>"), "answered 400: <html>", 1),
        ((200, "no json"), "answered 200: no json", 1),
        ((503, {"error": "full"}), "answered 503: full", 2),
    ],
)
def test_an_error_of_rest_is_one_sentence(rest, reply, said, calls):
    rest.replies += [reply] * 5
    with client_of(RestClient, rest, attempts=2) as client, pytest.raises(ServingError, match=said):
        client.predict("x", {"text": TWO})
    assert len(rest.requests) == calls


def test_rest_waits_no_longer_than_its_deadline(rest):
    rest.pause = 0.5
    with client_of(RestClient, rest, deadline=0.1) as client, pytest.raises(ServingError, match="within 0.1 s"):
        client.predict("classifier", {"text": TWO})


def test_a_client_asks_for_a_version_or_a_label_not_both(rest):
    with client_of(RestClient, rest) as client, pytest.raises(ServingError, match="not both. Received: 1 and stable"):
        client.predict("classifier", {"text": TWO}, version=1, label="stable")
    with client_of(GrpcClient, rest) as client, pytest.raises(ServingError, match="not both"):
        client.predict("classifier", {"text": TWO}, version=1, label="stable")


class GrpcStub(PredictionServiceServicer):
    """As the other: what to refuse first, then the usual answer."""

    def __init__(self):
        self.refusals, self.requests, self.pause = [], [], 0

    def Predict(self, request, context):
        self.requests.append(request)
        time.sleep(self.pause)
        if self.refusals:
            context.abort(*self.refusals.pop(0))
        response = PredictResponse()
        response.outputs["label"].CopyFrom(to_tensor(ANSWER["label"]))
        response.outputs["score"].CopyFrom(to_tensor(ANSWER["score"], types_pb2.DT_FLOAT))
        return response

    def GetModelMetadata(self, request, context):
        signatures, response = SignatureDefMap(), GetModelMetadataResponse()
        inputs = signatures.signature_def["generate"].inputs
        inputs["prompt"].dtype, inputs["seed"].dtype = types_pb2.DT_STRING, types_pb2.DT_INT64
        response.metadata["signature_def"].Pack(signatures)
        return response


@pytest.fixture
def rpc():
    stub = GrpcStub()
    server = grpc.server(ThreadPoolExecutor(4))
    add_PredictionServiceServicer_to_server(stub, server)
    stub.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield stub
    server.stop(0).wait()


def test_grpc_sends_strings_and_gives_lists(rpc):
    with client_of(GrpcClient, rpc) as client:
        assert client.predict("classifier", {"text": TWO}) == ANSWER
    [request] = rpc.requests
    assert list(tf.make_ndarray(request.inputs["text"])) == [text.encode() for text in TWO]
    assert request.model_spec.name == "classifier" and request.model_spec.signature_name == "serving_default"
    assert request.model_spec.WhichOneof("version_choice") is None


def test_grpc_asks_for_a_version_or_a_label(rpc):
    with client_of(GrpcClient, rpc) as client:
        client.predict("classifier", {"text": TWO}, version=3)
        client.predict("classifier", {"text": TWO}, label="canary")
    assert rpc.requests[0].model_spec.version.value == 3 and rpc.requests[1].model_spec.version_label == "canary"


def test_grpc_sends_numbers_as_the_signature_wants_them(rpc):
    with client_of(GrpcClient, rpc) as client:
        client.predict("language-model", {"prompt": ["a"], "seed": [7]}, "generate")
        with pytest.raises(ServingError, match="language-model: "):
            client.predict("language-model", {"prompt": ["a"], "seed": ["seven", 7]}, "generate")
    [request] = rpc.requests
    assert tf.make_ndarray(request.inputs["seed"]).dtype == np.int64


def test_grpc_tries_again_while_the_server_is_unavailable(rpc):
    rpc.refusals += [(grpc.StatusCode.UNAVAILABLE, "the queue is full")] * 2
    with client_of(GrpcClient, rpc) as client:
        assert client.predict("classifier", {"text": TWO}) == ANSWER
    assert len(rpc.requests) == 3


@pytest.mark.parametrize(("code", "calls"), [("NOT_FOUND", 1), ("INVALID_ARGUMENT", 1), ("UNAVAILABLE", 2)])
def test_an_error_of_grpc_is_one_sentence(rpc, code, calls):
    rpc.refusals += [(grpc.StatusCode[code], "no such thing")] * 5
    with (
        client_of(GrpcClient, rpc, attempts=2) as client,
        pytest.raises(ServingError, match=f"answered {code}: no such thing"),
    ):
        client.predict("x", {"text": TWO})
    assert len(rpc.requests) == calls


def test_grpc_waits_no_longer_than_its_deadline(rpc):
    rpc.pause = 0.5
    with client_of(GrpcClient, rpc, deadline=0.2) as client, pytest.raises(ServingError, match="within 0.2 s"):
        client.predict("classifier", {"text": TWO})


@pytest.mark.parametrize(
    "array",
    [
        np.array([b"a", "caf\u00e9".encode()], object),
        np.array([[1, 2, 3], [4, 5, 6]], np.int32),
        np.array([[[1.5, -2.0]], [[0.0, 4.0]]], np.float32),
        np.array([2**40, -1], np.int64),
        np.array([[True], [False]]),
        np.array([0.1], np.float64),
        np.zeros([0], np.float32),
        np.zeros([2, 0], np.int32),
        np.array(3.0, np.float32),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_tensors_are_read_and_written_as_tensorflow_does(array):
    expected = [text.decode() for text in array] if array.dtype == object else array.tolist()
    proto = tf.make_tensor_proto(array)  # in tensor_content
    assert from_tensor(proto) == expected
    if array.ndim:
        written = to_tensor(expected, proto.dtype)  # in the typed fields
        assert from_tensor(written) == expected
        if array.shape[-1:] != (0,):
            np.testing.assert_array_equal(tf.make_ndarray(written), array)


@pytest.mark.parametrize("values", [[["a"], ["b", "c"]], [["a"], "b"]])
def test_lists_of_several_lengths_are_refused(values):
    with pytest.raises(ValueError, match="must have one length"):
        to_tensor(values)


def test_a_dtype_that_no_export_has_is_refused():
    with pytest.raises(ValueError, match="DT_HALF"):
        from_tensor(tf.make_tensor_proto(np.zeros(1, np.float16)))


def test_pauses_grow_and_the_deadline_ends_them(monkeypatch):
    now, pauses = [0.0], []

    def sleep(seconds):
        pauses.append(seconds)
        now[0] += seconds

    monkeypatch.setattr("retrying.time.monotonic", lambda: now[0])
    monkeypatch.setattr("retrying.time.sleep", sleep)
    monkeypatch.setattr("retrying.random.uniform", max)
    left = []

    def call(seconds):
        left.append(seconds)
        raise Unavailable("full")

    with pytest.raises(Unavailable):
        retried(call, deadline=1.0, attempts=9)
    assert pauses == pytest.approx([0.1, 0.2, 0.4])
    assert left == pytest.approx([1.0, 0.9, 0.7, 0.3])


@pytest.mark.parametrize(("kind", "server"), [(RestClient, "rest"), (GrpcClient, "rpc")])
def test_the_command_line_prints_a_line_an_example(kind, server, request, capsys):
    stub = request.getfixturevalue(server)
    assert command_line.run(kind, ["--model", "classifier", "--address", stub.address, *TWO]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ROWS
    assert len(stub.requests) == 1


def test_the_command_line_takes_inputs_by_name_and_one_output_without_a_name(rest, capsys):
    rest.replies.append((200, {"outputs": [[1.5], [2.5]]}))
    inputs = {"source": ["a", "b"], "target": ["c", "d"]}
    arguments = ["--model", "m", "--signature", "score", "--inputs", json.dumps(inputs), "--address", rest.address]
    assert command_line.run(RestClient, arguments) == 0
    assert capsys.readouterr().out == "[1.5]\n[2.5]\n"
    assert rest.requests[0][1] == {"signature_name": "score", "inputs": inputs}


@pytest.mark.parametrize("script", ["rest_client.py", "grpc_client.py", "load.py"])
def test_a_server_that_is_not_there_is_one_sentence_and_exit_code_2(script):
    script = [sys.executable, str(SERVING / "clients" / script)]
    words = ["--model", "x", "--deadline", "0.3", "--address"]
    address = "127.0.0.1:1" if "grpc_client.py" in script[1] else "http://127.0.0.1:1"
    texts = [] if "load.py" in script[1] else ["a"]
    done = subprocess.run([*script, *words, address, *texts], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ") and "127.0.0.1:1" in last and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--inputs", "[1]"],
        ["--inputs", "{"],
        ["a", "--inputs", '{"text": ["a"]}'],
        ["a", "--version", "1", "--label", "b"],
    ],
)
def test_what_the_command_line_cannot_take_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        command_line.run(RestClient, ["--model", "x", *arguments])
    assert ended.value.code == 2 and "error: " in capsys.readouterr().err


def test_the_rest_client_needs_no_tensorflow():
    program = "import sys, rest_client, load; sys.exit(any(name.startswith('tensorflow') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], cwd=SERVING / "clients", timeout=60).returncode == 0


# The load generator and the health check.


def test_latency_throughput_and_errors_are_measured():
    lock, calls = threading.Lock(), []

    def call():
        with lock:
            calls.append(time.monotonic())
            number = len(calls)
        time.sleep(0.02)
        if number % 4 == 0:
            raise ServingError("full")

    seen = []
    result = load.measure(call, clients=3, seconds=0.5, watch=seen.append)
    assert result.keys() == {"p50", "p95", "p99", "throughput", "errors"}
    assert result["errors"] == len(calls) // 4
    assert 20 <= result["p50"] <= result["p95"] <= result["p99"] < 500
    answered = len(calls) - result["errors"]
    assert answered / 0.8 < result["throughput"] <= answered / 0.5
    assert seen == sorted(seen) and len(seen) > 1


def test_clients_call_at_the_same_time():
    together = threading.Barrier(4)

    def call():
        together.wait(timeout=10)
        time.sleep(1)  # until after the end, so that none calls twice

    assert load.measure(call, clients=4, seconds=1)["errors"] == 0


def test_a_server_that_answers_nothing_has_no_latency():
    def call():
        time.sleep(0.01)
        raise ServingError("full")

    result = load.measure(call, clients=2, seconds=0.05)
    assert result["p50"] is result["p99"] is None and result["throughput"] == 0 and result["errors"] > 0


def test_a_percentile_is_a_value_that_enough_others_do_not_exceed():
    values = list(range(1, 101))[::-1]
    assert [load.percentile(values, share) for share in (50, 95, 99, 100)] == [50, 95, 99, 100]
    assert load.percentile([7], 99) == 7 and load.percentile([], 50) is None


@pytest.mark.parametrize("way", [[], ["--grpc"]], ids=["rest", "grpc"])
def test_the_load_generator_asks_the_lines_of_a_file_by_turns(way, request, tmp_path, capsys):
    stub = request.getfixturevalue("rpc" if way else "rest")
    (tmp_path / "texts.txt").write_text("one\n\ntwo\nthree\n", "utf-8")
    arguments = [
        "--model",
        "classifier",
        "--clients",
        "2",
        "--seconds",
        "0.3",
        "--batch",
        "2",
        "--address",
        stub.address,
    ]
    assert load.main([*arguments, *way, "--texts", str(tmp_path / "texts.txt")]) == 0
    printed = capsys.readouterr().out
    assert re.fullmatch(r"\d+\.\d requests/s\n(p\d\d \d+\.\d ms\n){3}0 errors\n", printed)
    if not way:
        assert [body["inputs"]["text"] for _, body in stub.requests[:1]] == [["one", "two"]]
        assert {tuple(body["inputs"]["text"]) for _, body in stub.requests[1:3]} == {("three", "one"), ("two", "three")}


def test_the_load_generator_refuses_a_file_without_texts(tmp_path, capsys):
    (tmp_path / "texts.txt").write_text("\n", "utf-8")
    for name in ("texts.txt", "missing.txt"):
        assert load.main(["--model", "classifier", "--texts", str(tmp_path / name)]) == 2
        assert re.fullmatch(r"error: .*\.txt.*\n", capsys.readouterr().err)


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
