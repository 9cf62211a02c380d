"""Images that one cloud's Glance fetches from the other's, with nothing but the user's token."""

import functools
import hashlib

import pytest

from tests.kit import http
from tests.kit.waiting import until
from tests.whole.conftest import FLAVOR


@pytest.mark.parametrize(("source", "target"), [("west", "east"), ("east", "west")])
def test_glance_itself_fetches_an_image_from_the_other_cloud(
    west, east, ann, shell, image_file, source, target
):
    create = f"image create from-{source} --disk-format raw --container-format bare"
    image = shell.openstack(source, f"{create} --file {image_file} -f value -c id")
    fetching = {"west": west, "east": east}[target]
    token = ann.login()
    body = {"name": f"from-{source}", "disk_format": "raw", "container_format": "bare"}
    ask = functools.partial(http.send, headers={"X-Auth-Token": token})
    made = ask("POST", f"{fetching.image}/images", body=body)
    assert made.status == 201, made.body
    url = f"{fetching.image}/images/{made.json()['id']}"
    method = {"name": "glance-download", "glance_region": source, "glance_image_id": image}
    fetched = ask("POST", f"{url}/import", body={"method": method})
    assert fetched.status == 202, fetched.body

    def is_there() -> bool:
        shown = ask("GET", url).json()
        assert shown["status"] in ("queued", "importing", "active"), shown
        return shown["status"] == "active"

    until(is_there, f"{target} has fetched the image", deadline=60)
    content = ask("GET", f"{url}/file").body
    digest = hashlib.sha256(content).hexdigest()
    assert digest == hashlib.sha256(image_file.read_bytes()).hexdigest()
    if target == "east":
        boot = f"server create booted --image {made.json()['id']} --flavor {FLAVOR['name']}"
        alone = "--os-compute-api-version 2.37"
        words = f"{alone} {boot} --no-network --wait -f value -c status"
        assert shell.openstack("east", words) == "ACTIVE"
        shell.openstack("east", "server delete booted --wait")
