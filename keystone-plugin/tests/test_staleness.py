import threading
import time
from unittest import mock

from at_once import parallel
from dogpile.cache import api
from keystone.federation.backends import sql as federation_sql
from keystone.models import token_model
from keystone.token import provider as token_provider
from keystone_host import CONF
from keystone_host import PROVIDERS
import pytest

from keystone_alliance import grants
from keystone_alliance import guest
from keystone_alliance import staleness


def wait_until(condition, seconds=5):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, 'waited in vain'
        time.sleep(0.02)


def test_an_unset_cache_time_becomes_a_little_less_than_max_staleness(world):
    assert world.settings.max_staleness == 60
    assert CONF.token.cache_time == 55


def test_the_daemon_is_told_how_old_an_answer_may_be_and_how_long_it_is_used(
    world, api, west, admin
):
    def ages(admin):
        api.validate(west.token(west.user(), west.project()), admin)
        _path, question, _id = world.daemon.calls[-1]
        return question['max_age'], question['held_for']

    deadline = world.settings.deadline
    assert ages(admin) == (60 - 55 - deadline, 55 + deadline)
    CONF.set_override('cache_time', 60, group='token')
    assert ages(admin) == (0, 60 + deadline)
    CONF.set_override('cache_time', 45, group='token')
    assert ages(admin) == (15 - deadline, 45 + deadline)
    CONF.set_override('enabled', False, group='cache')
    try:
        assert ages(world.admin()) == (60, deadline)
    finally:
        CONF.clear_override('enabled', group='cache')


@pytest.fixture
def slowly(monkeypatch):
    """Make a function take longer than the deadline that these tests set."""

    def slow(module, name):
        function = getattr(module, name)

        def late(*args):
            time.sleep(1.3)
            return function(*args)

        monkeypatch.setattr(module, name, late)

    return slow


@pytest.fixture
def remembered(world, monkeypatch):
    """When the cache times began of those tokens that Keystone has remembered."""
    begun = []
    proxy = token_provider.TOKENS_REGION.backend
    while not isinstance(proxy, staleness._PunctualRegion):
        proxy = proxy.proxied
    put = proxy.proxied.set

    def note(key, value):
        if isinstance(value.payload, token_model.TokenModel):
            begun.append(value.metadata['ct'])
        put(key, value)

    monkeypatch.setattr(proxy.proxied, 'set', note)
    world.configure(deadline=1.0)
    return begun


def test_what_was_ready_late_is_remembered_that_much_shorter(
    world, api, west, admin, slowly, remembered
):
    asked = []
    slowly(guest, 'shadow_user')
    world.daemon.sign_passport = lambda partner, token: (
        asked.append(time.time()) or partner.passport(token, world.cloud_id)
    )
    token = west.token(west.user(), west.project())
    for _ in range(3):
        assert api.validate(token, admin).status_code == 200
    assert len(asked) == len(world.daemon.calls) == 1
    assert remembered[-1] <= asked[0] + 1.0 < time.time()


def test_a_derived_token_that_was_ready_late_is_remembered_that_much_shorter(
    world, api, west, admin, slowly, remembered
):
    project = west.project()
    token = west.token(west.user(), project)
    assert api.validate(token, admin).status_code == 200
    asked = []
    slowly(grants, 'reconcile')
    world.daemon.sign_statement = lambda partner, body: (
        asked.append(time.time())
        or partner.statement(body['user_id'], body['project_id'], world.cloud_id)
    )
    scope = {'project': {'id': west.host_project_id(project)}}
    assert api.rescope(token, scope).status_code == 201
    assert remembered[-1] <= asked[0] + 1.0 < time.time()


def test_who_shares_an_answer_that_was_ready_late_counts_from_the_same_question(
    world, west, slowly
):
    world.configure(deadline=1.0)
    slowly(guest, 'shadow_user')
    token = west.token(west.user(), west.project())

    def use(_number):
        world.provider.validate_token(token)
        return staleness._lateness()

    latenesses = [lateness for lateness, _seconds in parallel(2, use)]
    assert len(world.daemon.calls) == 1
    assert min(latenesses) > 0


@pytest.mark.parametrize('then', ['issued', 'validated'])
def test_one_late_answer_does_not_age_the_tokens_after_it(world, west, slowly, remembered, then):
    own = world.admin()
    staleness.flush()
    slowly(guest, 'shadow_user')
    world.provider.validate_token(west.token(west.user(), west.project()))
    before = time.time()
    if then == 'issued':
        world.admin()
    else:
        PROVIDERS.token_provider_api.validate_token(own)
    assert remembered[-1] >= before


def test_where_the_age_is_inside_already_what_was_late_is_not_remembered(world):
    backend = mock.Mock(spec=api.CacheBackend)
    region = staleness._PunctualRegion().wrap(backend)
    staleness.remember_from(time.monotonic() - 0.1)
    region.set_serialized('late', b'')
    region.set_serialized('next', b'')
    staleness.remember_from(time.monotonic() + 60)
    region.set_serialized('early', b'')
    stored = [call.args[0] for call in backend.set_serialized.call_args_list]
    assert stored == ['next', 'early']


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
        assert time.monotonic() - asked < 30
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
