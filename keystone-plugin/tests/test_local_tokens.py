import os
import stat

import fake_daemon
from keystone.token.providers import fernet
from keystone_host import CONF
from keystone_host import METHODS
from keystone_host import PROVIDERS
from partner_cloud import fernet_like
import pytest


def test_issued_tokens_carry_the_tag_of_this_cloud(world, api, admin):
    assert admin.startswith(f'{world.tag}~gAAAA')
    assert api.validate(admin, admin).status_code == 200
    assert api.get('/v3/projects', admin).status_code == 200


def test_without_tagging_tokens_are_the_inner_providers_own(world, api):
    world.configure(tag_tokens=False)
    token = world.admin()
    assert token.startswith('gAAAA')
    assert api.validate(token, token).status_code == 200


def test_rolling_in_and_out_never_refuses_a_token_of_this_cloud(world, api):
    accepting = world.settings
    world.configure(tag_tokens=False)
    untagged = world.admin()
    world.configure(tag_tokens=True)
    tagged = world.admin()
    assert api.validate(untagged, tagged).status_code == 200
    world.configure(tag_tokens=False)
    assert api.validate(tagged, untagged).status_code == 200
    assert accepting.accept_untagged
    stock = fernet.Provider()
    assert stock.validate_token(untagged)[0] == stock.validate_token(tagged.split('~')[1])[0]


def test_untagged_tokens_can_be_refused(world, api, admin):
    world.configure(accept_untagged=False)
    assert api.validate(admin.partition('~')[2], admin).status_code == 404
    assert api.validate(admin, admin).status_code == 200


@pytest.mark.parametrize(
    'content', [None, '', '{', '[]', '{"version": 2}', '{"version": 1}'], ids=str
)
def test_without_a_usable_snapshot_local_tokens_work_and_foreign_ones_do_not(
    world, api, west, admin, content
):
    foreign = west.token(west.user(), west.project())
    path = world.folder / 'keystone.json'
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    assert api.validate(foreign, admin).status_code == 404
    tagged = world.admin()
    assert tagged.startswith(world.tag), 'the last known tag is kept'
    assert api.validate(tagged, admin).status_code == 200
    assert not world.daemon.calls


def test_before_the_first_snapshot_tokens_are_untagged_and_tagged_ones_are_still_ours(
    world, api, west, admin
):
    (world.folder / 'keystone.json').unlink()
    source = world.provider._source
    source.current()
    source._own_tag = None
    token = world.admin()
    assert token.startswith('gAAAA')
    assert api.validate(admin, token).status_code == 200
    assert api.validate(west.token(west.user()), token).status_code == 404
    assert not world.daemon.calls


def test_an_unreadable_snapshot_is_reported_once_per_change(world, api, admin):
    path = world.folder / 'keystone.json'
    path.write_text('{"version": 99}')
    for _ in range(3):
        api.validate(f'abcdefgh~{fernet_like()}', admin)
    assert world.log().count('version 99, this plugin reads version 1. There are no partners') == 1


def test_a_hung_daemon_does_not_touch_local_tokens(world, api):
    world.daemon.fault = fake_daemon.hang
    admin = world.admin()
    assert api.validate(world.admin(), admin).status_code == 200
    assert api.request('DELETE', '/v3/auth/tokens', admin, subject=admin).status_code == 204
    assert api.validate(admin, world.admin()).status_code == 404
    assert not world.daemon.calls


def test_local_tokens_answer_field_by_field_as_stock_keystone(world, api, monkeypatch):
    mine = api.password().json['token']
    monkeypatch.setattr(PROVIDERS.token_provider_api, 'driver', fernet.Provider())
    stock = api.password().json['token']
    changing = ('audit_ids', 'expires_at', 'issued_at')
    assert {k: v for k, v in mine.items() if k not in changing} == {
        k: v for k, v in stock.items() if k not in changing
    }
    assert [type(mine[key]) for key in changing] == [type(stock[key]) for key in changing]


def test_federation_options_and_methods_are_left_alone():
    assert CONF.federation.assertion_prefix == ''
    assert CONF.auth.methods == METHODS


def test_the_socket_of_the_double_is_one_that_the_plugin_accepts(world):
    status = os.stat(world.daemon.path)
    assert stat.S_ISSOCK(status.st_mode)
    assert status.st_uid in world.settings.socket_owners
