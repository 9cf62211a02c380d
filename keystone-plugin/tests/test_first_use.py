from keystone_alliance import ids


def test_a_foreign_token_may_first_be_used_as_x_auth_token(world, api, west):
    user, project = west.user(), west.project()
    token = west.token(user, project)
    response = api.get('/v3/auth/projects', token)
    assert response.status_code == 200
    assert [p['id'] for p in response.json['projects']] == [west.host_project_id(project)]


def test_a_validated_foreign_token_is_an_ordinary_token_of_the_shadow_user(world, api, west, admin):
    user, project = west.user(), west.project()
    token = west.token(user, project)
    response = api.validate(token, admin)
    assert response.status_code == 200
    body = response.json['token']
    assert body['user']['name'] == 'ann'
    assert body['user']['domain'] == {'id': west.domain_id, 'name': 'west'}
    assert 'OS-FEDERATION' not in body['user']
    assert body['project']['name'] == project['name'] + '@Default'
    assert body['project']['id'] == west.host_project_id(project)
    assert {role['name'] for role in body['roles']} == {'member', 'reader'}
    [audit_id] = west.issued[token]['audit_ids']
    assert body['audit_ids'] == [ids.audit_id(west.cloud_id, audit_id)]
    assert body['expires_at'] == west.issued[token]['expires_at']
    assert body['issued_at'] == west.issued[token]['issued_at']
    assert body['methods'] == ['password']


def test_warm_use_asks_the_daemon_nothing(world, api, west, admin):
    token = west.token(west.user(), west.project())
    for _ in range(5):
        assert api.validate(token, admin).status_code == 200
    assert len(world.daemon.calls) == 1
