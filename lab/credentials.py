"""An application credential of a service's user: the login of a process that knows no password."""

import json
import secrets
import urllib.error
import urllib.request

from lab.errors import LabError
from lab.state import Cloud

DEADLINE = 30.0


def application_credential(cloud: Cloud, user: str) -> dict[str, str]:
    """The `id` and `secret` of a new one, with all roles of the user in the project `service`."""
    domain = {"id": "default"}
    login = {"name": user, "domain": domain, "password": cloud.passwords[user]}
    body = {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": login}},
            "scope": {"project": {"name": "service", "domain": domain}},
        }
    }
    answer, headers = _post(cloud, "/auth/tokens", body, {})
    path = f"/users/{answer['token']['user']['id']}/application_credentials"
    wanted = {"application_credential": {"name": f"{user}-{secrets.token_hex(4)}"}}
    token = {"X-Auth-Token": headers["X-Subject-Token"]}
    made, _ = _post(cloud, path, wanted, token)
    return made["application_credential"]


def _post(cloud: Cloud, path: str, body: dict, headers: dict):
    request = urllib.request.Request(
        cloud.auth_url + path,
        method="POST",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return json.loads(answer.read()), answer.headers
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")[:300]
        raise LabError(f"{cloud.name}: POST {path}: {error}: {said}") from None
    except OSError as error:
        raise LabError(f"{cloud.name}: POST {path}: {error}") from None
