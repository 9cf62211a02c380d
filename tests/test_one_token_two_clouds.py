"""A west login, an unmodified client, the images of east."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.kit import known_secrets
from tests.kit.waiting import until

SDK = """\
import json, openstack
west = openstack.connect()
east = openstack.connection.Connection(session=west.session, region_name="east")
names = [[image.name for image in cloud.image.images()] for cloud in (west, east)]
print(json.dumps({"token": west.auth_token, "west": names[0], "east": names[1]}))
"""


@pytest.fixture(scope="module")
def ann(west, east):
    """A west user with an agreement at east, who has one image in each cloud."""
    person = west.person(roles=("member", "reader"))
    east.agree("west", person.project)
    until(lambda: person.project.id in str(west.told("region", "list")), "west sees east's region")
    return person


@pytest.fixture(scope="module")
def shell(west, ann, tmp_path_factory):
    """Runs the openstack client as ann, as installed from PyPI and with nothing added to it."""
    variables = {
        **west.variables(),
        "OS_USERNAME": ann.name,
        "OS_PASSWORD": ann.password,
        "OS_PROJECT_NAME": ann.project.name,
    }
    content = tmp_path_factory.mktemp("images") / "image"
    content.write_bytes(b"\0" * 1000)

    def run(command: str, **more: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            env={**variables, "CONTENT": str(content), **more},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def images(shell):
    create = 'image create --disk-format raw --file "$CONTENT"'
    shell(f"openstack {create} of-west")
    shell(f"openstack --os-region-name east {create} of-east")


def test_the_first_thing_that_a_west_token_ever_does_at_east_is_served(west, east):
    person = west.person()
    agreement = east.agree("west", person.project)
    token = person.login()
    east.forget()
    answer = east.ask("GET", "/auth/projects", token)
    assert answer.status == 200, answer.body
    [project] = answer.json()["projects"]
    assert project["id"] == east.told("agreement", "show", agreement)["host_project_id"]


@pytest.mark.usefixtures("images")
def test_the_openstack_client_lists_the_images_of_the_region_it_names(shell):
    listing = "openstack --os-region-name {} image list -f value -c Name"
    assert shell(listing.format("west")).split() == ["of-west"]
    assert shell(listing.format("east")).split() == ["of-east"]


@pytest.mark.usefixtures("images")
def test_the_openstack_client_does_with_a_token_alone(shell, ann):
    command = "unset ${!OS_USER*} OS_PASSWORD; openstack --os-region-name east image list -f json"
    listed = shell(command, OS_AUTH_TYPE="v3token", OS_TOKEN=ann.login())
    assert [image["Name"] for image in json.loads(listed)] == ["of-east"]


@pytest.mark.usefixtures("images")
def test_openstacksdk_lists_both_regions_in_one_session(shell):
    python = Path(shell("readlink -f $(command -v openstack)").strip()).parent / "python"
    found = json.loads(shell(f"{python} -c '{SDK}'"))
    known_secrets.note_token(found["token"])
    assert (found["west"], found["east"]) == (["of-west"], ["of-east"])


@pytest.mark.usefixtures("images")
def test_curl_lists_the_images_of_east_with_the_bare_token(shell, ann, east):
    command = 'curl -sS -H "X-Auth-Token: $TOKEN" "$IMAGE/images"'
    listed = json.loads(shell(command, TOKEN=ann.login(), IMAGE=east.image))
    assert [image["name"] for image in listed["images"]] == ["of-east"]


def test_the_catalog_of_a_guest_at_east_leads_home(ann, east):
    catalog = east.ask("GET", "/auth/catalog", ann.login()).json()["catalog"]
    regions = {point["region"] for service in catalog for point in service["endpoints"]}
    assert regions == {"west", "east"}


def test_the_request_id_of_a_first_use_is_in_the_logs_of_both_clouds(west, east):
    person = west.person()
    east.agree("west", person.project)
    answer = east.ask("GET", "/auth/tokens", east.admin, X_Subject_Token=person.login())
    assert answer.status == 200
    request_id = answer.headers["x-openstack-request-id"]
    logs = [east.log("alliance"), west.log("alliance"), west.log("keystone")]
    access = logs[2].with_suffix(".access.log")
    until(lambda: request_id in access.read_text(), f"{request_id} in {access}")
