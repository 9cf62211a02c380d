import os
import socket
import threading
import time

from at_once import parallel
import fake_daemon
import flask
from keystone_host import PROVIDERS
from partner_cloud import fernet_like
from partner_cloud import new_key
import pytest

from keystone_alliance import breaker
from keystone_alliance import refusal
from keystone_alliance.flight import Flights


def new_token(west):
    return west.token(west.user(), west.project())


FAULTS = {
    'hang': fake_daemon.hang,
    'dribble': fake_daemon.dribble,
    'garbage': fake_daemon.garbage,
    'huge': fake_daemon.huge,
    'not JSON': fake_daemon.not_json,
    'indeterminate': fake_daemon.indeterminate,
    'server error': fake_daemon.server_error,
}


@pytest.mark.parametrize('fault', FAULTS.values(), ids=FAULTS)
def test_a_daemon_without_an_answer_gives_503_within_the_deadline(world, api, west, admin, fault):
    world.configure(deadline=0.6)
    world.daemon.fault = fault
    began = time.monotonic()
    response = api.validate(new_token(west), admin)
    assert response.status_code == 503, response.data
    assert time.monotonic() - began < 4
    assert set(response.json['error']) == {'code', 'message', 'title'}
    assert int(response.headers['Retry-After']) > 0
    world.configure(deadline=0.6)
    assert api.get('/v3/auth/projects', new_token(west)).status_code == 503
    world.configure(deadline=0.6)
    response = api.rescope(new_token(west))
    assert response.status_code == 503
    assert int(response.headers['Retry-After']) > 0


def test_an_answer_that_is_not_open_says_nothing_of_trying_again(world, api, west, admin):
    refused = api.validate(f'{west.tag}~{fernet_like()}', admin)
    assert refused.status_code == 404
    assert 'Retry-After' not in refused.headers
    # What an open question had left for a request must not show in another one's answer.
    flask_response = flask.Response(status=404)
    assert 'Retry-After' not in refusal._add_retry_after(flask_response).headers


def test_a_missing_daemon_gives_503_at_once_and_leaves_local_tokens_alone(world, api, west, admin):
    world.configure(deadline=60)
    world.daemon.stop()
    try:
        began = time.monotonic()
        assert api.validate(new_token(west), admin).status_code == 503
        assert time.monotonic() - began < 30
        assert api.validate(world.admin(), admin).status_code == 200
    finally:
        world.daemon.start()
    assert 'Undecided (daemon_unreachable): token ' in world.log()


def test_what_is_not_an_acceptable_socket_is_not_spoken_to(world, api, west, admin, tmp_path):
    plain = tmp_path / 'file'
    plain.write_text('')
    world.configure(socket=str(plain))
    assert api.validate(new_token(west), admin).status_code == 503
    assert f'{plain} is not a socket' in world.log()
    world.configure(socket_owners=frozenset([12345]))
    assert api.validate(new_token(west), admin).status_code == 503
    assert 'socket_owners' in world.log()
    assert not world.daemon.calls


def test_a_server_of_another_user_behind_an_own_socket_is_not_spoken_to(tmp_path):
    from keystone_alliance import exchange

    path = str(tmp_path / 'socket')
    child = os.fork()
    if child == 0:
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        os.chmod(path, 0o777)
        os.setuid(65534)
        server.listen()
        time.sleep(5)
        os._exit(0)
    until = time.monotonic() + 5
    said = ''
    try:
        while 'served by user id 65534' not in said:
            assert time.monotonic() < until, said
            with pytest.raises(exchange.Failed) as failure:
                exchange.post(path, {0, os.geteuid()}, '/', b'{}', {}, 1)
            said = str(failure.value)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_after_a_failure_the_daemon_is_left_in_peace(world, api, west, admin, monkeypatch):
    monkeypatch.setattr(breaker, 'FIRST_PAUSE', 3600)
    world.configure(deadline=0.3)
    world.daemon.fault = fake_daemon.hang
    for _ in range(6):
        assert api.validate(new_token(west), admin).status_code == 503
    assert len(world.daemon.calls) == 1


def test_after_a_while_the_daemon_is_probed(world, api, west, admin, monkeypatch):
    monkeypatch.setattr(breaker, 'FIRST_PAUSE', 0.1)
    world.daemon.fault = fake_daemon.garbage
    assert api.validate(new_token(west), admin).status_code == 503
    world.daemon.fault = None
    time.sleep(0.1)
    assert api.validate(new_token(west), admin).status_code == 200


def test_the_request_id_of_the_request_reaches_the_daemon(world, api, west, admin):
    ids = []
    for ask in (
        lambda: api.validate(new_token(west), admin),
        # Validated by Keystone's middleware, outside Flask's request.
        lambda: api.get('/v3/auth/projects', new_token(west)),
    ):
        response = ask()
        ids.append(world.daemon.calls[-1][2])
        assert ids[-1] == response.headers['x-openstack-request-id']
    assert len(set(ids)) == 2


@pytest.mark.usefixtures('unhurried')
def test_at_most_a_quarter_of_the_threads_ask_and_a_burst_is_served(world, api, west, admin):
    tokens = [new_token(west) for _ in range(8)]
    world.daemon.delay = 0.03
    results = parallel(8, lambda number: api.validate(tokens[number], admin).status_code)
    assert [status for status, _ in results] == [200] * 8
    assert world.daemon.most_at_once <= world.settings.askers == 2


@pytest.mark.usefixtures('unhurried')
def test_the_first_burst_after_an_outage_is_served(world, api, west, admin):
    world.daemon.fault = fake_daemon.garbage
    assert api.validate(new_token(west), admin).status_code == 503
    world.daemon.fault = None
    world.daemon.delay = 0.03
    time.sleep(1.05)
    tokens = [new_token(west) for _ in range(8)]
    results = parallel(8, lambda number: api.validate(tokens[number], admin).status_code)
    assert [status for status, _ in results] == [200] * 8


@pytest.mark.parametrize('same', [False, True], ids=['many tokens', 'one token'])
def test_a_hung_daemon_holds_up_no_more_than_its_places(world, api, west, admin, same):
    world.configure(deadline=4.0)
    world.daemon.fault = fake_daemon.hang
    tokens = [new_token(west) for _ in range(8)]
    if same:
        tokens = tokens[:1] * 8
    results = parallel(8, lambda number: api.validate(tokens[number], admin).status_code)
    assert [status for status, _ in results] == [503] * 8
    slow = [seconds for _status, seconds in results if seconds >= 4.0]
    assert len(slow) <= (1 if same else 2), results


@pytest.mark.usefixtures('unhurried')
def test_one_token_asked_for_by_many_at_once_is_one_question(world, west, monkeypatch):
    token = new_token(west)
    world.daemon.gate = threading.Event()
    waiting, join = [], Flights._join

    def note(flights, future):
        waiting.append(future)
        if len(waiting) == 19:
            world.daemon.gate.set()
        return join(flights, future)

    monkeypatch.setattr(Flights, '_join', note)
    driver = PROVIDERS.token_provider_api.driver
    values = [result for result, _ in parallel(20, lambda _number: driver.validate_token(token))]
    assert len(world.daemon.calls) == 1
    assert all(value == values[0] for value in values)
    assert len({id(value[2]) for value in values}) == 20, 'audit ids must be a fresh list each'


def test_a_flood_of_junk_is_refused_without_waiting(world, api, west, admin):
    for _ in range(12):
        api.validate(f'{west.tag}~{fernet_like()}', admin)
    # So long that all come while the first are out, however busy the machine is.
    world.daemon.delay = 1
    asked = len(world.daemon.calls)
    results = parallel(
        8, lambda _number: api.validate(f'{west.tag}~{fernet_like()}', admin).status_code
    )
    assert {status for status, _ in results} <= {404, 503}
    assert len(world.daemon.calls) - asked < 8
    assert 'Undecided (overloaded)' in world.log()


def test_a_worker_forked_while_questions_are_out_starts_afresh(world, west, admin):
    world.daemon.gate = threading.Event()
    token, other = new_token(west), new_token(west)
    asking = threading.Thread(target=lambda: world.api.validate(token, admin))
    asking.start()
    while not world.daemon.calls:
        time.sleep(0.01)
    daemon = world.provider._admission._daemon
    child = os.fork()
    if child == 0:
        idle = not daemon.bulkhead._holders and not daemon.flights._futures
        os._exit(0 if idle else 1)
    world.daemon.gate.set()
    asking.join()
    assert os.waitpid(child, 0)[1] == 0
    assert world.api.validate(other, admin).status_code == 200


def test_no_token_is_ever_logged(world, api, west, admin):
    tokens = [new_token(west) for _ in range(3)] + [f'{west.tag}~{fernet_like()}']
    api.validate(tokens[0], admin)
    api.rescope(tokens[0])
    world.partner_entry()['status'] = 'suspended'
    world.write()
    api.validate(tokens[1], admin)
    world.reset()
    world.daemon.fault = fake_daemon.garbage
    api.validate(tokens[2], admin)
    world.reset()
    api.validate(tokens[3], admin)
    api.get('/v3/auth/projects', tokens[3])
    log = world.log()
    for token in tokens:
        assert token not in log
        assert token.partition('~')[2] not in log


def test_a_daemon_of_another_cloud_is_not_believed(world, api, west, admin):
    world.daemon.sign_passport = lambda partner, token: partner.passport(token, new_key()[2])
    assert api.validate(new_token(west), admin).status_code == 404
    assert 'wrong_audience' in world.log()
