"""The manifests of `cluster/`: against the schemas of Kubernetes and TFJob, each other, and the package."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

import jsonschema
import kubernetes_validate
import pytest
import yaml

import seq_models
from seq_models.cli import make_parser
from seq_models.commands.configuration import settings
from seq_models.options import grouped
from seq_models.tasks import TASKS
from seq_models.training.cluster import Cluster

ROOT = Path(__file__).parents[1]
OLDEST, NEWEST = "1.31", "1.37"  # a pod failure policy is stable from 1.31 on
PORT = 2222

WHOLE = {"type": "integer", "minimum": 0}
# What the CustomResourceDefinition of kubeflow.org/v1 allows and its webhook demands, without the template of the pods,
# which is one of Kubernetes itself.
TFJOB = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "kubeflow.org/v1"},
        "kind": {"const": "TFJob"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object",
            "required": ["tfReplicaSpecs"],
            "additionalProperties": False,
            "properties": {
                "successPolicy": {"enum": ["", "AllWorkers"]},
                "enableDynamicWorker": {"type": "boolean"},
                "runPolicy": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "activeDeadlineSeconds": {"type": "integer", "minimum": 1},
                        "backoffLimit": WHOLE,
                        "cleanPodPolicy": {"enum": ["All", "Running", "None"]},
                        "schedulingPolicy": {"type": "object"},
                        "suspend": {"type": "boolean"},
                        "ttlSecondsAfterFinished": WHOLE,
                    },
                },
                "tfReplicaSpecs": {
                    "type": "object",
                    "minProperties": 1,
                    "propertyNames": {"enum": ["Chief", "Master", "Worker", "PS", "Evaluator"]},
                    "additionalProperties": {
                        "type": "object",
                        "required": ["template"],
                        "additionalProperties": False,
                        "properties": {
                            "replicas": WHOLE,
                            "restartPolicy": {"enum": ["Always", "OnFailure", "Never", "ExitCode"]},
                            "template": {"type": "object"},
                        },
                    },
                },
            },
        },
    },
}


def documents(name):
    """The resources of a file by their kind."""
    resources = list(yaml.safe_load_all((ROOT / "cluster" / name).read_text("utf-8")))
    return {resource["kind"]: resource for resource in resources}


CLAIM = documents("claim.yaml")["PersistentVolumeClaim"]
SERVICE, JOB = documents("job.yaml")["Service"], documents("job.yaml")["Job"]
TFJOB_WORKER = documents("tfjob.yaml")["TFJob"]["spec"]["tfReplicaSpecs"]["Worker"]
TEMPLATES = {"job.yaml": JOB["spec"]["template"], "tfjob.yaml": TFJOB_WORKER["template"]}
every_template = pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)


def check(resource, version):
    """Against the schema of its kind; a field that the schema does not know is an error."""
    if resource["kind"] != "TFJob":
        kubernetes_validate.validate(resource, version, strict=True)
        return
    jsonschema.validate(resource, TFJOB)
    for replica in resource["spec"]["tfReplicaSpecs"].values():
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "worker"}}
        kubernetes_validate.validate({**pod, "template": replica["template"]}, version, strict=True)


def container(template):
    [only] = template["spec"]["containers"]
    return only


def command_line(template):
    """What `seq-models` gets; the Job names the program, the TFJob leaves it to the image."""
    words = container(template)["args"]
    return words[1:] if words[0] == "seq-models" else words


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", ["claim.yaml", "job.yaml", "tfjob.yaml"])
def test_the_schemas_accept_every_resource(name, version):
    for resource in documents(name).values():
        check(resource, version)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("claim.yaml", "ReadWriteMany", "7"),
        ("job.yaml", "clusterIP: None", "clusterIp: None"),
        ("job.yaml", "completions: 2", "completions: two"),
        ("job.yaml", "onExitCodes", "onExitCode"),
        ("job.yaml", "subdomain: mood", "subDomain: mood"),
        ("tfjob.yaml", "cleanPodPolicy: Running", "cleanPodPolicy: Some"),
        ("tfjob.yaml", "replicas: 2", "replicas: two"),
        ("tfjob.yaml", "restartPolicy: ExitCode", "restartPolicy: ExitCodes"),
        ("tfjob.yaml", "readOnlyRootFilesystem", "readOnlyFilesystem"),
    ],
)
def test_the_schemas_refuse_a_mistake(name, right, wrong):
    text = (ROOT / "cluster" / name).read_text("utf-8")
    assert right in text
    with pytest.raises(jsonschema.ValidationError):
        for resource in yaml.safe_load_all(text.replace(right, wrong)):
            check(resource, NEWEST)


@every_template
def test_the_image_is_pinned_to_the_version_of_the_project(template):
    version = seq_models.__version__
    image = container(template)["image"]
    assert image.endswith(f"/seq-models:{version}")
    assert image in (ROOT / "cluster" / "Dockerfile").read_text("utf-8")


@every_template
def test_the_command_line_is_one_that_the_package_takes(template):
    options = make_parser().parse_args(command_line(template))
    assert options.run.__module__ == "seq_models.commands.train" and options.strategy == "multi-worker"
    groups = TASKS[options.task].option_groups()
    for name, values in grouped(settings(options.set, groups), groups).items():
        groups[name](**values)


@every_template
def test_texts_and_run_lie_on_the_shared_claim_and_the_rest_but_tmp_is_read_only(template):
    options = make_parser().parse_args(command_line(template))
    mounts = {mount["name"]: PurePosixPath(mount["mountPath"]) for mount in container(template)["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    assert volumes["shared"]["persistentVolumeClaim"]["claimName"] == CLAIM["metadata"]["name"]
    assert CLAIM["spec"]["accessModes"] == ["ReadWriteMany"]
    for path in [*options.train, *options.valid, options.out]:
        assert mounts["shared"] in PurePosixPath(path).parents
    assert container(template)["securityContext"]["readOnlyRootFilesystem"]
    assert volumes["tmp"] == {"name": "tmp", "emptyDir": {}} and mounts["tmp"] == PurePosixPath("/tmp")


@every_template
def test_the_pods_have_no_rights_that_they_do_not_need(template):
    pod, inner = template["spec"]["securityContext"], container(template)["securityContext"]
    assert pod["runAsNonRoot"] and pod["seccompProfile"]["type"] == "RuntimeDefault"
    assert not inner["allowPrivilegeEscalation"] and inner["capabilities"] == {"drop": ["ALL"]}
    assert not template["spec"]["automountServiceAccountToken"]


@every_template
def test_the_user_of_the_pods_is_that_of_the_image_and_may_write_to_the_claim(template):
    pod = template["spec"]["securityContext"]
    user, group = pod["runAsUser"], pod["runAsGroup"]
    assert user > 0 and pod["fsGroup"] == group
    assert f"\nUSER {user}:{group}\n" in (ROOT / "cluster" / "Dockerfile").read_text("utf-8")


@every_template
def test_a_pod_has_memory_hears_sigterm_with_time_to_save_and_has_no_proxy(template):
    resources = container(template)["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert template["spec"]["shareProcessNamespace"]  # process 1 would not hear it before there is a handler
    assert template["spec"]["terminationGracePeriodSeconds"] >= 60
    assert template["metadata"]["annotations"] == {"sidecar.istio.io/inject": "false"}


def test_both_manifests_run_the_same_training():
    assert command_line(TEMPLATES["job.yaml"]) == command_line(TEMPLATES["tfjob.yaml"])


def test_the_operator_finds_its_container_and_its_port():
    operated = container(TFJOB_WORKER["template"])
    assert operated["name"] == "tensorflow"
    assert operated["ports"] == [{"name": "tfjob-port", "containerPort": PORT}]
    assert TFJOB_WORKER["restartPolicy"] == "ExitCode"
    assert TFJOB_WORKER["replicas"] > 1  # with one it sets no TF_CONFIG
    assert "command" not in operated


def test_the_service_is_headless_and_selects_the_pods_of_the_job_by_name():
    spec = SERVICE["spec"]
    assert spec["clusterIP"] == "None" and spec["publishNotReadyAddresses"]
    assert spec["selector"] == {"batch.kubernetes.io/job-name": JOB["metadata"]["name"]}
    assert [port["port"] for port in spec["ports"]] == [PORT]
    assert [port["containerPort"] for port in container(TEMPLATES["job.yaml"])["ports"]] == [PORT]


def test_every_worker_of_the_job_runs_at_the_same_time():
    spec = JOB["spec"]
    environment = {variable["name"]: variable["value"] for variable in container(spec["template"])["env"]}
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == int(environment["WORKERS"])


@pytest.mark.parametrize("index", range(JOB["spec"]["completions"]))
def test_the_command_of_the_job_builds_the_tf_config_of_each_worker(index, monkeypatch):
    names = {"job": JOB["metadata"]["name"], "service": SERVICE["metadata"]["name"]}
    assert JOB["spec"]["template"]["spec"]["subdomain"] == names["service"]
    said = json.loads(run_as_worker(index, "import os; print(os.environ['TF_CONFIG'])").stdout)
    monkeypatch.setenv("TF_CONFIG", json.dumps(said))
    cluster = Cluster.from_environment()
    count = JOB["spec"]["completions"]
    assert cluster.addresses == tuple(f"{names['job']}-{k}.{names['service']}:{PORT}" for k in range(count))
    assert cluster.index == index and cluster.chief == (index == 0)


def test_signals_and_exit_codes_are_those_of_the_training():
    """It takes the place of what built TF_CONFIG; a process between them would keep SIGTERM to itself."""
    done = run_as_worker(0, "import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    assert done.returncode == -15
    assert run_as_worker(0, "raise SystemExit(138)").returncode == 138


def run_as_worker(index, program):
    """The command of the Job as Kubernetes would run it, with another program than the training."""
    words = container(TEMPLATES["job.yaml"])
    python, *snippet = words["command"]
    assert python == "python" and "$(" not in "".join(snippet)  # which Kubernetes would replace
    environment = {variable["name"]: variable["value"] for variable in words["env"]}
    return subprocess.run(
        [sys.executable, *snippet, sys.executable, "-c", program],
        env={**os.environ, **environment, "JOB_COMPLETION_INDEX": str(index)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("code", "action"), [(2, "FailJob"), (138, "Ignore"), (143, "Ignore"), (137, "Count"), (1, "Count"), (134, "Count")]
)
def test_only_a_mistake_of_the_user_ends_the_job_and_only_other_failures_count(code, action):
    assert JOB["spec"]["template"]["spec"]["restartPolicy"] == "Never"  # else there may be no failure policy
    assert failure_action(code) == action
    assert JOB["spec"]["backoffLimit"] > 0
    rules = [rule["onExitCodes"] for rule in JOB["spec"]["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    assert {rule["containerName"] for rule in rules} == {container(JOB["spec"]["template"])["name"]}


def failure_action(code):
    """What Kubernetes does about an exit code: the first rule that fits, else it counts towards backoffLimit."""
    for rule in JOB["spec"]["podFailurePolicy"]["rules"]:
        codes = rule.get("onExitCodes")
        if (
            codes
            and codes["containerName"] == "tensorflow"
            and (code in codes["values"]) == (codes["operator"] == "In")
        ):
            return rule["action"]
    return "Count"


def test_a_drained_node_does_not_count():
    [condition] = [
        (rule["action"], rule["onPodConditions"])
        for rule in JOB["spec"]["podFailurePolicy"]["rules"]
        if "onPodConditions" in rule
    ]
    assert condition == ("Ignore", [{"type": "DisruptionTarget", "status": "True"}])


def test_the_image_starts_the_command_line_from_a_pinned_base_with_the_tested_packages():
    text = (ROOT / "cluster" / "Dockerfile").read_text("utf-8")
    assert re.search(r"^FROM python:3\.\d+-slim-\w+$", text, re.MULTILINE)
    assert "pip install --no-cache-dir --constraint constraints.txt ." in text
    assert text.rstrip().endswith('ENTRYPOINT ["seq-models"]')
    for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE):
        assert all((ROOT / source).exists() for source in line.split()[:-1])


def test_the_page_about_it_names_files_that_are_there_and_every_exit_code():
    page = (ROOT / "cluster" / "README.md").read_text("utf-8")
    files = re.findall(r"cluster/[\w.]+", page)
    assert files and all((ROOT / file).exists() for file in files)
    assert set(re.findall(r"^\| (\d+) \|", page, re.MULTILINE)) == {"0", "2", "137", "138", "143"}
