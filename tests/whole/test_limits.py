"""What an agreement allows a project at once, the services themselves hold it to."""

import pytest

from tests.kit import http
from tests.kit.waiting import until

#: A second to see who has come, one service after the other, and two to change a limit.
SOON = 30.0


class Guest:
    """A west user whose project may have two networks at east, and has been there."""

    def __init__(self, west, east):
        self.east = east
        person = west.person(roles=("member", "reader"))
        self.project = person.project.id
        quota = ("--quota", "networks=2,cores=4,images=0")
        self.agreement = east.agree("west", person.project, ("member",), *quota)
        self._headers = {"X-Auth-Token": person.login()}
        assert len(self.networks()) == 0

    def agree(self, quota: str) -> None:
        """Changes the agreement."""
        self.east.alliance("agreement", "change", self.agreement, "--quota", quota)

    def networks(self) -> list:
        answer = http.send("GET", self._url, self._headers)
        assert answer.status == 200, answer.body
        return answer.json()["networks"]

    def make_network(self, name: str) -> http.Answer:
        return http.send("POST", self._url, self._headers, {"network": {"name": name}})

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self.east.port('neutron')}/v2.0/networks"

    def limits(self) -> dict[str, tuple]:
        """Agreed, limit, used and state of each resource."""
        found = self.east.told("project", "limits", "--partner", "west")
        fields = ("agreed", "limit", "used", "standing")
        own = [one for one in found if one["project_id"] == self.project]
        return {one["resource"]: tuple(one[field] for field in fields) for one in own}

    def becomes(self, resource: str, *wanted) -> None:
        def is_so() -> bool:
            return self.limits().get(resource) == wanted

        until(is_so, f"{resource} at east: {wanted}", deadline=SOON)


@pytest.fixture
def guest(west, east):
    return Guest(west, east)


def test_a_project_gets_what_was_agreed_and_no_more(guest):
    guest.becomes("networks", 2, 2, 0, "held")
    for name in ("one", "two"):
        assert guest.make_network(name).status == 201
    refused = guest.make_network("three")
    assert (refused.status, "Quota exceeded" in str(refused.body)) == (409, True), refused.body
    # Below what is used: nothing is taken away, nothing more is given.
    guest.agree("networks=1")
    guest.becomes("networks", 1, 1, 2, "over")
    assert len(guest.networks()) == 2
    assert guest.make_network("three").status == 409


def test_a_limit_changed_by_hand_is_left_alone_until_the_agreement_changes(east, guest):
    guest.becomes("cores", 4, 4, 0, "held")
    projects = east.told("project", "list")
    [here] = [one["host_project_id"] for one in projects if one["project_id"] == guest.project]
    url = f"http://127.0.0.1:{east.port('nova')}/v2.1/os-quota-sets/{here}"
    by_hand = {"quota_set": {"cores": 50}}
    assert http.send("PUT", url, {"X-Auth-Token": east.admin}, by_hand).status == 200
    guest.becomes("cores", 4, 50, 0, "altered")
    guest.agree("cores=8")
    guest.becomes("cores", 8, 8, 0, "held")
    # Glance has no limits for projects: what was agreed is only watched.
    assert guest.limits()["images"] == (0, None, 0, "watched")
