"""A request goes on with its own token, whatever other threads of the worker do meanwhile."""

import threading

from keystone.common import authorization
from keystone.server.flask.request_processing.middleware import auth_context


def test_a_request_keeps_its_token_while_others_are_served(world, api, west, admin, monkeypatch):
    """Keystone's own middleware has one place for the tokens of all its threads."""
    token = west.token(west.user(), west.project())
    held, others_done = threading.Event(), threading.Event()
    seen = {}
    render = auth_context.render_token.render_token_response_from_model
    fill = auth_context.AuthContextMiddleware.fill_context

    def render_late(model):
        if model.id == token:
            held.set()
            others_done.wait(10)
        return render(model)

    def fill_and_tell(middleware, request):
        fill(middleware, request)
        context = request.environ[authorization.AUTH_CONTEXT_ENV]
        seen[request.user_token] = context['token'].id

    monkeypatch.setattr(auth_context.render_token, 'render_token_response_from_model', render_late)
    monkeypatch.setattr(auth_context.AuthContextMiddleware, 'fill_context', fill_and_tell)
    guest = threading.Thread(target=lambda: api.get('/v3/auth/projects', token))
    guest.start()
    assert held.wait(10)
    assert api.get('/v3/auth/projects', admin).status_code == 200
    others_done.set()
    guest.join()
    assert seen == {token: token, admin: admin}
