"""Predictions over REST; it needs `requests` only.

python serving/clients/rest_client.py --model classifier "the library was not boring"
"""

import sys
from urllib.parse import quote

import requests
from command_line import run
from retrying import ServingError, Unavailable, retried


class RestClient:
    """A server's REST interface.

    Args:
        address: Where it is, without a path.
        deadline: Seconds for a prediction, all attempts together.
        attempts: How often to ask at most while the server is unavailable.
    """

    ADDRESS = "http://127.0.0.1:8501"

    def __init__(self, address=ADDRESS, deadline=10.0, attempts=6):
        self.address, self.deadline, self.attempts = address.rstrip("/"), deadline, attempts
        self.session = requests.Session()
        many = requests.adapters.HTTPAdapter(pool_maxsize=256)  # connections kept, for as many threads
        self.session.mount("http://", many)
        self.session.mount("https://", many)

    def predict(self, model, inputs, signature="serving_default", version=None, label=None):
        """What a signature gives for a batch.

        Args:
            model: Name of the model.
            inputs: Input name -> values, a list with an element an example.
            signature: Name of the signature.
            version, label: Of the version to ask, at most one of them; else the newest answers.
        Returns:
            Output name -> values; for a signature with one output the values alone, for the server leaves out its name.
        Raises:
            ServingError: If there is no answer.
        """
        url = f"{self.address}/v1/models/{quote(model, safe='')}{_place(version, label)}:predict"
        body = {"signature_name": signature, "inputs": inputs}
        return retried(lambda seconds: self._post(url, body, seconds), self.deadline, self.attempts)

    def close(self):
        self.session.close()

    def _post(self, url, body, seconds):
        try:
            response = self.session.post(url, json=body, timeout=seconds)
        except requests.Timeout as error:
            raise ServingError(f"{url} gave no answer within {self.deadline:g} s.") from error
        except requests.ConnectionError as error:
            raise Unavailable(f"{url} cannot be reached.") from error
        except (requests.RequestException, ValueError) as error:
            raise ServingError(f"{url} cannot be asked: {error}") from error
        return _outputs(response)


def _place(version, label):
    if version is not None and label is not None:
        raise ServingError(f"A version or a label is asked for, not both. Received: {version} and {label}")
    if version is not None:
        return f"/versions/{version}"
    return f"/labels/{quote(label, safe='')}" if label is not None else ""


def _outputs(response):
    try:
        body = response.json()
    except ValueError:
        body = None
    if response.ok and isinstance(body, dict) and "outputs" in body:
        return body["outputs"]
    said = body["error"] if isinstance(body, dict) and "error" in body else response.text[:200]
    kind = Unavailable if response.status_code == 503 else ServingError
    raise kind(f"{response.url} answered {response.status_code}: {said}")


if __name__ == "__main__":
    sys.exit(run(RestClient))
