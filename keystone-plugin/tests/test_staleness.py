import threading
import time

from keystone.federation.backends import sql as federation_sql
from keystone_host import CONF
from keystone_host import PROVIDERS
import pytest


def wait_until(condition, seconds=5):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, 'waited in vain'
        time.sleep(0.02)


def test_an_unset_cache_time_becomes_a_little_less_than_max_staleness(world):
    assert world.settings.max_staleness == 60
    assert CONF.token.cache_time == 55


def test_the_daemon_is_told_how_old_an_answer_may_be(world, api, west, admin):
    api.validate(west.token(west.user(), west.project()), admin)
    assert world.daemon.calls[-1][1]['max_age'] == 60 - 55 - world.settings.deadline
    CONF.set_override('cache_time', 60, group='token')
    api.validate(west.token(west.user(), west.project()), admin)
    assert world.daemon.calls[-1][1]['max_age'] == 0
    CONF.set_override('cache_time', 45, group='token')
    api.validate(west.token(west.user(), west.project()), admin)
    assert world.daemon.calls[-1][1]['max_age'] == 15 - world.settings.deadline
    CONF.set_override('enabled', False, group='cache')
    try:
        api.validate(west.token(west.user(), west.project()), world.admin())
    finally:
        CONF.clear_override('enabled', group='cache')
    assert world.daemon.calls[-1][1]['max_age'] == 60


def test_a_cache_time_above_max_staleness_refuses_foreign_tokens_and_names_both(
    world, api, west, admin
):
    CONF.set_override('cache_time', 61, group='token')
    assert api.validate(west.token(west.user(), west.project()), admin).status_code == 404
    assert not world.daemon.calls
    assert '[token] cache_time = 61' in world.log()
    assert '[alliance] max_staleness = 60' in world.log()
    assert api.validate(admin, admin).status_code == 200


def test_the_cached_entry_of_a_foreign_token_really_expires(world, api, west, admin):
    CONF.set_override('cache_time', 1, group='token')
    token = west.token(west.user(), west.project())
    assert api.validate(token, admin).status_code == 200
    assert api.validate(token, admin).status_code == 200
    assert len(world.daemon.calls) == 1
    asked = time.monotonic()
    del west.issued[token]
    while api.validate(token, admin).status_code == 200:
        assert time.monotonic() - asked < 3
        time.sleep(0.05)
    assert time.monotonic() - asked > 0.5
    assert len(world.daemon.calls) == 2


def test_an_expired_entry_is_not_served_while_the_daemon_is_asked_anew(world, api, west, admin):
    CONF.set_override('cache_time', 1, group='token')
    token = west.token(west.user(), west.project())
    assert api.validate(token, admin).status_code == 200
    time.sleep(1.1)
    world.daemon.gate = threading.Event()
    answers = []
    asking = threading.Thread(target=lambda: answers.append(api.validate(token, admin)))
    asking.start()
    wait_until(lambda: len(world.daemon.calls) == 2)
    second = threading.Thread(target=lambda: answers.append(api.validate(token, admin)))
    second.start()
    second.join(0.2)
    assert not answers, 'somebody was served the expired answer'
    del west.issued[token]
    world.daemon.gate.set()
    asking.join()
    second.join()
    assert [answer.status_code for answer in answers] == [404, 404]


@pytest.fixture
def idp_enabled_again(world):
    yield
    PROVIDERS.federation_api.update_idp('west', {'enabled': True})


@pytest.mark.usefixtures('idp_enabled_again')
def test_a_disabled_identity_provider_cuts_off_the_very_next_use(world, api, west):
    token = west.token(west.user(), west.project())
    assert api.validate(token, token).status_code == 200
    in_another_thread(lambda: PROVIDERS.federation_api.update_idp('west', {'enabled': False}))
    # This thread still holds Keystone's request cache of the earlier request.
    time.sleep(0.03)
    assert api.get('/v3/auth/projects', token).status_code == 401
    assert 'identity_provider_disabled' in world.log()


def disable_and_roll_back(idp_id):
    with federation_sql.sql.session_for_write() as session:
        session.get(federation_sql.IdentityProviderModel, idp_id).enabled = False
        session.flush()
        raise RuntimeError


def in_another_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_a_rolled_back_change_flushes_nothing_and_another_provider_neither(world, api, west, admin):
    token = west.token(west.user(), west.project())
    assert api.validate(token, admin).status_code == 200
    PROVIDERS.federation_api.create_idp(
        'saml', {'domain_id': 'default', 'enabled': True, 'remote_ids': []}
    )
    PROVIDERS.federation_api.update_idp('saml', {'enabled': False})
    with pytest.raises(RuntimeError):
        disable_and_roll_back('west')
    assert api.validate(token, admin).status_code == 200
    assert len(world.daemon.calls) == 1
