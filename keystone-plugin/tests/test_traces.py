"""What a client says of a trace is handed on to the daemon."""

import pytest

TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'


@pytest.fixture
def told(world, api, west, admin):
    """What the daemon hears of a trace from a request with these headers."""

    def ask(by_middleware=False, **headers):
        token = west.token(west.user(), west.project())
        if by_middleware:
            answer = api.get('/v3/auth/projects', token, headers=headers)
        else:
            answer = api.get('/v3/auth/tokens', admin, subject=token, headers=headers)
        assert answer.status_code == 200
        names = ('traceparent', 'tracestate')
        return {name: world.daemon.headers[name] for name in names if name in world.daemon.headers}

    return ask


@pytest.mark.parametrize('by_middleware', [False, True])
def test_a_trace_goes_on_to_the_daemon(told, by_middleware):
    sent = {'traceparent': TRACEPARENT, 'tracestate': 'a=b, c=d'}
    assert told(by_middleware, **sent) == sent
    # Of that request alone.
    assert told(by_middleware) == {}


def test_nothing_is_made_up(told):
    assert told() == {}
    assert told(tracestate='a=b') == {}


@pytest.mark.parametrize('value', ['é' * 55, 'x' * 129, 'a b', ''])
def test_what_fits_no_header_stays_here(told, value):
    assert told(traceparent=value, tracestate='a=b') == {}
    assert told(traceparent=TRACEPARENT, tracestate='ü=1') == {'traceparent': TRACEPARENT}
