"""An id is an identity, a name is a label: who and what is the same across a border."""


def test_two_home_projects_of_one_name_are_two_projects_here(west, east):
    first, second = west.domain(), west.domain()
    people = [west.person(project=west.project("same", domain)) for domain in (first, second)]
    for person in people:
        east.agree("west", person.project)
    told = [east.validate(person.login()).json()["token"]["project"] for person in people]
    assert told[0]["id"] != told[1]["id"]
    assert told[0]["name"] != told[1]["name"]
    for person, project in zip(people, told):
        listed = east.ask("GET", "/auth/projects", person.login()).json()["projects"]
        assert [one["id"] for one in listed] == [project["id"]]


def test_images_of_two_projects_of_one_name_do_not_meet(west, east):
    domains = [west.domain(), west.domain()]
    people = [west.person(project=west.project("meet", domain)) for domain in domains]
    for person in people:
        east.agree("west", person.project)
    one, other = (person.login() for person in people)
    created = east.make_image(one, "mine")
    assert east.image_ids(one) == [created]
    assert east.image_ids(other) == []
    assert east.image_status(other, created) == 404


def test_an_agreement_with_one_of_two_projects_of_one_name_needs_its_domain(west, east):
    first, second = west.domain(), west.domain()
    west.project("twice", first)
    project = west.project("twice", second)
    create = ("agreement", "create", "west", "--project", "twice", "--role", "member")
    refused = east.alliance(*create, status=1)
    assert "--project-domain" in refused.stderr
    assert first.name in refused.stderr
    assert second.name in refused.stderr
    made = east.told(*create, "--project-domain", second.name)["agreements"]
    assert project.id in str(made)


def test_a_renamed_project_is_the_same_project(west, east):
    person = west.person()
    east.agree("west", person.project)
    before = east.validate(person.login()).json()["token"]["project"]
    renamed = {"project": {"name": person.project.name + "-renamed"}}
    west.do("PATCH", f"/projects/{person.project.id}", renamed)
    after = east.validate(person.login()).json()["token"]["project"]
    assert after["id"] == before["id"]
    assert "-renamed" in after["name"]


def test_a_name_given_up_and_taken_by_another_project_brings_no_resources(west, east):
    person = west.person()
    east.agree("west", person.project)
    token = person.login()
    image = east.make_image(token, "mine")
    west.do("PATCH", f"/projects/{person.project.id}", {"project": {"name": person.name}})
    heir = west.person(project=west.project(person.project.name))
    assert not east.lets_in(heir.login())
    east.agree("west", heir.project)
    assert east.image_ids(heir.login()) == []
    assert east.image_ids(person.login()) == [image]


def test_a_user_deleted_and_made_again_under_the_same_name_is_somebody_else(west, east):
    person = west.person()
    east.agree("west", person.project)
    before = east.validate(person.login()).json()["token"]["user"]
    west.do("DELETE", f"/users/{person.id}")
    again = west.person(person.name, person.project)
    after = east.validate(again.login()).json()["token"]["user"]
    assert after["id"] != before["id"]
    assert after["domain"] == before["domain"]


def test_a_user_deleted_at_home_is_refused_here(west, east):
    person = west.person()
    east.agree("west", person.project)
    token = person.login()
    west.do("DELETE", f"/users/{person.id}")
    assert not east.lets_in(token)


def test_the_same_agreement_at_two_hosts_makes_independent_guests(west, east, north):
    person = west.person()
    for host in (east, north):
        host.agree("west", person.project)
    token = person.login()
    told = [host.validate(token).json()["token"] for host in (east, north)]
    # The id is computed from the same home project, so it is the same at both hosts.
    assert told[0]["project"]["id"] == told[1]["project"]["id"]
    assert told[0]["user"]["domain"]["id"] == told[1]["user"]["domain"]["id"]
    east.orders("partner", "suspend", "west")
    try:
        assert not east.lets_in(token)
        assert north.lets_in(token)
    finally:
        east.orders("partner", "resume", "west")
