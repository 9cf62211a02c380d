"""A catalog with many partners in it, and how soon a change at a partner is in a token at home."""

from __future__ import annotations

import base64
import copy
import json
import secrets
import time
import uuid

from benches.rows.issue import by_token, compare
from benches.samples import Row, Series, Target, figure
from benches.stage import Stage
from tests.kit.waiting import until

#: Of ids that both clouds compute, as docs/protocol.md has them.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "alliance.openstack")
PARTNERS = (1, 10, 100)
#: Ten services with three interfaces each.
SERVICES = 10
INTERFACES = ("public", "internal", "admin")
TARGETS = {10: Target(1.1)}
CHANGES = 10


def issue(stage: Stage) -> list[Row]:
    """West's Keystone reads a snapshot with more partners in it; no daemon answers for them."""
    rows = []
    _, theirs = stage.resident()
    known = json.loads(stage.home_daemon.snapshot.read_text())
    for count in PARTNERS:
        path = stage.home_daemon.folder / f"crowd-{count}.json"
        path.write_text(json.dumps(_crowded(known, stage.guest.project.id, count)))
        with stage.west.configured(keystone={"alliance": {"snapshot": str(path)}}):
            what = f"issue by token, partners of 30 endpoints in the catalog: {count}"
            # Keystone remembers catalogs beyond its restart.
            stage.west.forget()
            assert _shows(stage, stage.guest.login(), f"p{count - 1}.example")
            note = "The size of the catalog, which Keystone renders and sends with every token."
            sides = ((what, by_token(stage.guest)), ("stock", by_token(theirs)))
            rows.append(compare(stage, *sides, note, TARGETS.get(count)))
        path.unlink()
    return rows


def _crowded(known: dict, project_id: str, count: int) -> dict:
    """The snapshot with so many partners like its first, and no other."""
    crowd = copy.deepcopy(known)
    [(tag, partner), *_] = known["partners"].items()
    entries = known["catalog"]["entries"][tag]
    shown = {project_id: [f"type-{number}" for number in range(SERVICES)]}
    crowd["partners"], catalog = {}, crowd["catalog"]
    catalog.update(projects={project_id: []}, all_projects=[], guests={}, entries={}, services={})
    for number in range(count):
        cloud_id = base64.b32encode(secrets.token_bytes(32)).decode().lower().rstrip("=")
        domain_id = uuid.uuid5(NAMESPACE, f"domain:{cloud_id}").hex
        like = {"cloud_id": cloud_id, "domain_id": domain_id, "name": f"p{number}"}
        new = cloud_id[:8]
        crowd["partners"][new] = {**partner, **like, "untagged": []}
        catalog["projects"][project_id].append(new)
        catalog["services"][new] = shown
        catalog["entries"][new] = [_service(entries[0], number, kind) for kind in range(SERVICES)]
    return crowd


def _service(like: dict, partner: int, kind: int) -> dict:
    region = f"p{partner}"
    endpoint = {
        **like["endpoints"][0],
        "region": region,
        "region_id": region,
        "url": f"https://{region}.example/type-{kind}/v1/%(project_id)s",
    }
    endpoints = [
        {**endpoint, "id": uuid.uuid4().hex, "interface": interface} for interface in INTERFACES
    ]
    name = {"id": uuid.uuid4().hex, "type": f"type-{kind}", "name": f"service-{kind}"}
    return {**like, **name, "endpoints": endpoints}


def change(stage: Stage) -> list[Row]:
    """From Keystone's answer at east to the first token of west that shows it."""
    took = Series("an endpoint changed at east, until a new token at west shows it")
    service = stage.east.do("GET", "/services?type=image")["services"][0]["id"]
    query = f"/endpoints?service_id={service}&interface=public"
    endpoint = stage.east.do("GET", query)["endpoints"][0]
    before = stage.guest.login()
    seconds = []
    for number in range(CHANGES):
        url = f"{endpoint['url']}/{number}"
        stage.east.do("PATCH", f"/endpoints/{endpoint['id']}", {"endpoint": {"url": url}})
        began = time.monotonic()
        until(lambda url=url: _shows(stage, before, url), "a token with the new URL", deadline=30)
        seconds.append(1000 * (time.monotonic() - began))
    stage.east.do("PATCH", f"/endpoints/{endpoint['id']}", {"endpoint": {"url": endpoint["url"]}})
    took.add(seconds)
    return [figure(took, Target(2000), "A token is bought again and again until it shows it.")]


def _shows(stage: Stage, token: str, url: str) -> bool:
    answer = stage.west.rescope(token, stage.guest.project)
    assert answer.status == 201, answer.body
    return url in answer.body.decode()
