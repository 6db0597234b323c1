"""Compose, Kubernetes and KServe files of `serving/` have the fields that their schemas know, and no others."""

import jsonschema
import kubernetes_validate
import pytest
import yaml
from deployment_fixtures import COMPOSE, MANIFESTS, SERVING, documents

OLDEST, NEWEST = "1.31", "1.37"


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
