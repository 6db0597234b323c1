"""The REST client of `serving/clients`, against a stub."""

import subprocess
import sys

import pytest
from deployment_fixtures import ANSWER, SERVING, TWO, client_of, rest_stub
from rest_client import RestClient
from retrying import ServingError


@pytest.fixture
def rest():
    with rest_stub() as stub:
        yield stub


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


def test_rest_waits_no_longer_than_its_deadline(rest):
    rest.pause = 0.5
    with client_of(RestClient, rest, deadline=0.1) as client, pytest.raises(ServingError, match="within 0.1 s"):
        client.predict("classifier", {"text": TWO})


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


def test_the_rest_client_needs_no_tensorflow():
    program = "import sys, rest_client, load; sys.exit(any(name.startswith('tensorflow') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], cwd=SERVING / "clients", timeout=60).returncode == 0
