"""Roles abroad are what home and agreement both allow, and shrink as they shrink."""

import pytest

from tests.kit.waiting import until


def roles(cloud, token: str) -> set[str]:
    answer = cloud.validate(token)
    assert answer.status == 200, answer.body
    return {role["name"] for role in answer.json()["token"]["roles"]}


def grants(cloud, home_project) -> set[tuple[str, str]]:
    """User id and role of each assignment in the shadow project of a home project."""
    return set(
        cloud.rows(
            "SELECT a.actor_id, r.name FROM assignment a JOIN role r ON r.id = a.role_id "
            "JOIN project p ON p.id = a.target_id WHERE p.extra LIKE ?",
            f"%{home_project.id}%",
        )
    )


@pytest.fixture
def traveller(west, east):
    """A west user with two projects, both with an agreement for `member` and `reader`."""
    person = west.person(roles=("member", "reader"))
    other = west.project()
    west.grant(person, "member", other)
    for project in (person.project, other):
        east.agree("west", project, ("member", "reader"))
    assert roles(east, person.login()) == {"member", "reader"}
    assert roles(east, person.login(other)) >= {"member"}
    return person, other


def test_roles_are_those_that_home_and_agreement_both_name(west, east):
    person = west.person(roles=("member",))
    east.agree("west", person.project, ("reader", "manager"))
    # Keystone implies reader by member, and manager by nothing that the user has.
    assert roles(east, person.login()) == {"reader"}


def test_no_role_in_common_is_no_way_in(west, east):
    person = west.person(roles=("reader",))
    east.agree("west", person.project, ("manager",))
    assert not east.lets_in(person.login())
    assert not grants(east, person.project)


def test_a_role_taken_away_at_home_leaves_no_privilege_behind(west, east, traveller):
    person, other = traveller
    west.revoke(person, "member")
    assert roles(east, person.login()) == {"reader"}
    assert {role for _, role in grants(east, person.project)} == {"reader"}
    assert {role for _, role in grants(east, other)} >= {"member"}


def test_all_roles_taken_away_at_home_end_the_way_in(west, east, traveller):
    person, other = traveller
    token = person.login()
    assert east.lets_in(token)
    for role in ("member", "reader"):
        west.revoke(person, role)
    answer = west.auth(
        {"password": {"user": {"id": person.id, "password": person.password}}}, scope=person.project
    )
    assert answer.status == 401
    assert east.lets_in(person.login(other))


def test_a_narrowed_agreement_leaves_no_privilege_behind(east, traveller):
    person, other = traveller
    token = person.login()
    assert roles(east, token) == {"member", "reader"}
    east.end("west", person.project.id)
    assert not east.lets_in(token)
    until(lambda: not grants(east, person.project), "the grants are taken away")
    assert {role for _, role in grants(east, other)} >= {"member"}
    east.agree("west", person.project, ("reader",))
    assert roles(east, token) == {"reader"}
    assert {role for _, role in grants(east, person.project)} == {"reader"}
    assert {role for _, role in grants(east, other)} >= {"member"}


def test_a_token_of_one_project_buys_none_of_a_project_whose_agreement_ended(east, traveller):
    person, other = traveller
    token = person.login()
    told = east.validate(person.login(other)).json()["token"]["project"]["id"]
    east.end("west", other.id)
    assert not east.sells(token, {"project": {"id": told}})
    assert east.lets_in(token)


def test_what_is_left_over_buys_nothing(east, traveller):
    """As with a grant that somebody made by hand, or that a crash left behind."""
    person, other = traveller
    token = person.login()
    guest = east.validate(token).json()["token"]
    east.end("west", other.id)
    [(there,)] = east.rows("SELECT id FROM project WHERE extra LIKE ?", f"%{other.id}%")
    path = f"/projects/{there}/users/{guest['user']['id']}/roles/{east.roles['member']}"
    east.do("PUT", path)
    assert not east.sells(token, {"project": {"id": there}})
    assert not east.lets_in(person.login(other))


def test_two_projects_of_a_user_do_not_disturb_each_other(east, traveller):
    person, other = traveller
    tokens = [person.login(), person.login(other)]
    there = [east.validate(token).json()["token"]["project"]["id"] for token in tokens]
    bought = [east.sells(token, {"project": {"id": one}}) for token, one in zip(tokens, there)]
    for _ in range(3):
        assert all(east.lets_in(token) for token in (*tokens, *bought))
        east.forget()


def test_limits_on_users_and_projects_hold(west, east):
    shown = east.told("partner", "show", "west")
    guests = east.rows(
        "SELECT count(*) FROM federated_user WHERE idp_id = 'west' AND protocol_id = 'alliance'"
    )[0][0]
    known, new = west.person(), west.person()
    east.agree("west", known.project)
    east.agree("west", new.project)
    assert east.lets_in(known.login())
    east.orders("partner", "set", "west", "--max-users", str(guests + 1))
    try:
        assert not east.lets_in(new.login())
        assert east.lets_in(known.login())
        east.orders("partner", "set", "west", "--max-users", "unlimited", "--max-projects", "1")
        assert not east.lets_in(new.login())
        assert east.lets_in(known.login())
    finally:
        unlimited = ("--max-users", "unlimited", "--max-projects", "unlimited")
        east.orders("partner", "set", "west", *unlimited)
    assert east.lets_in(new.login())
    assert shown["max_users"] is None
