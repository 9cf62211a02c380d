"""The alliance daemon as seen from Keystone: questions about tokens and about guests."""

import contextlib
import json
import os
import socket
import typing
import weakref

from oslo_log import log

from keystone_alliance import exchange
from keystone_alliance import request
from keystone_alliance.breaker import Breaker
from keystone_alliance.bulkhead import Bulkhead
from keystone_alliance.flight import Flights
from keystone_alliance.passport import Answer
from keystone_alliance.refusal import Indeterminate
from keystone_alliance.refusal import Refused

LOG = log.getLogger(__name__)

_FLIGHT_PATIENCE = 10.0  # for a flight whose answer has come and is being written to the database


class Later(typing.NamedTuple):
    """What takes Keystone its time, and is acknowledged for itself."""

    sweep: typing.Optional[int]  # the change whose grants are to be swept away, if any are
    projects: list


class Work(typing.NamedTuple):
    """What the daemon asks for when it rings."""

    changed: bool
    batch: typing.Optional[int]
    sessions: list
    flush: bool
    projects: list  # those to be made at once
    later: typing.Optional[Later]  # None: all that comes of a change is done at once

    @classmethod
    def read(cls, answer):
        """Of the daemon's answer.

        :raises exchange.Failed: it is none
        """
        try:
            sessions = [
                {
                    'id': str(session['id']),
                    'until': int(session['until']),
                    'cloud_id': str(session['cloud_id']),
                    'user_id': str(session['user_id']),
                }
                for session in answer['sessions']
            ]
            # A daemon of an earlier version asks for none.
            projects = _projects(answer.get('projects', []))
            later = None
            # One of an earlier version knows no later.
            if answer.get('later') is not None:
                sweep = answer['later']['sweep']
                later = Later(
                    None if sweep is None else int(sweep), _projects(answer['later']['projects'])
                )
            changed, batch = bool(answer['changed']), int(answer['batch'])
            return cls(changed, batch, sessions, bool(answer['flush']), projects, later)
        except (KeyError, TypeError, ValueError) as error:
            raise exchange.Failed(f'the answer is not understood: {error!r}') from None


def _node():
    return f'{socket.gethostname()}:{os.getpid()}'


def _projects(told):
    return [
        {
            'cloud_id': str(project['cloud_id']),
            'project_id': str(project['project_id']),
            'name': str(project['name']),
            'domain_name': str(project['domain_name']),
        }
        for project in told
    ]


class Daemon:
    """Asks the daemon, without ever letting it hold up what does not concern it.

    Every question is bounded by the deadline, by the bulkhead and by the circuit breaker.
    """

    def __init__(self, settings):
        self._settings = settings
        self._reset()
        _all.add(self)

    def _reset(self):
        self.breaker = Breaker()
        self.bulkhead = Bulkhead(self._settings.askers, patience=self._settings.deadline)
        self.flights = Flights(self.bulkhead.is_stuck, _FLIGHT_PATIENCE)

    @contextlib.contextmanager
    def place(self):
        """Hold a place in the bulkhead, without which no question is asked.

        :raises Indeterminate: at once, if asking now would only keep a thread waiting
        """
        if self.breaker.is_open():
            raise Indeterminate('daemon_unreachable', 'it did not answer a moment ago')
        with self.bulkhead.place():
            yield

    def validate(self, token, ages):
        """Ask about a token. To be called in a ``place``.

        :param ages: how old an answer may be and how long it is used, see ``staleness.Ages``
        :returns: the signed passport, or an attestation of it, as an ``Answer``
        :raises Refused: the token is not valid here
        :raises Indeterminate: nobody knows now
        """
        answer = self._ask('/v1/tokens/validate', {'token': token, **ages._asdict()})
        return Answer(answer.get('passport'), answer.get('attestation'))

    def issue_passport(self, cloud, token_sha256, token, jkt):
        """Ask for a login passport for one of our users. To be called in a ``place``.

        :param cloud: the partner: its name here, a region of its, or its cloud id
        :param token: what Keystone says of the token, as a dict
        :param jkt: JWK thumbprint of a key that the user has, or None
        :returns: dict with passport, expires_at, auth_url and project_id
        :raises Refused: the user may not go there, or not so
        :raises Indeterminate: the daemon does not answer
        """
        question = {'cloud': cloud, 'token_sha256': token_sha256, 'token': token, 'jkt': jkt}
        answer = self._ask('/v1/passports', question)
        return {
            name: answer.get(name) for name in ('passport', 'expires_at', 'auth_url', 'project_id')
        }

    def log_in(self, passport, proof):
        """Use a login passport of a partner. To be called in a ``place``.

        :returns: the passport, as an ``Answer``
        :raises Refused: it is not valid here, or was used before
        :raises Indeterminate: nobody knows now
        """
        answer = self._ask('/v1/logins', {'passport': passport, 'proof': proof})
        return Answer(answer.get('passport'), None)

    def confirm(self, cloud_id, user_id, project_id, ages, derived, grace):
        """Ask which roles a home user has in a home project. To be called in a ``place``.

        :param ages: as for ``validate``
        :param derived: hash, expiry and session of the token of this cloud that hangs on the answer
        :param grace: seconds that the answer may be old if home is silent
        :returns: the signed grant statement, or an attestation of it, as an ``Answer``
        :raises Refused: the user has none, or may not come here
        :raises Indeterminate: nobody knows now
        """
        answer = self._ask(
            '/v1/guests/confirm',
            {
                'cloud_id': cloud_id,
                'user_id': user_id,
                'project_id': project_id,
                'token': derived,
                'grace': grace,
                **ages._asdict(),
            },
        )
        return Answer(answer.get('statement'), answer.get('attestation'))

    def ask_what_to_do(self, ring):
        """Ask what a ring is about. Not a question about a token: it takes no place.

        :returns: ``Work``: everything that needs no names, where the daemon does not tell more
        """
        everything = Work(
            changed=True, batch=None, sessions=[], flush=True, projects=[], later=None
        )
        try:
            question = {'secret': ring, 'knows_later': True}
            status, content = self._post('/v1/doorbell/answer', question)
            # An earlier version, which rings for changes alone and has no such question.
            return everything if status == 404 else Work.read(_parse(content))
        except exchange.Failed as failure:
            LOG.warning('The alliance daemon rang and does not say why: %s', failure)
            return everything

    def acknowledge(self, ring, error, batch, projects):
        """Tell the daemon that its ring was heard, and what failed, if anything.

        :param projects: of each project that was asked for, by its id here, why it is not there
        """
        told = {'ring': ring, 'error': error, 'batch': batch, 'projects': projects}
        self._tell('/v1/doorbell/ack', {'node': _node(), **told})

    def acknowledge_later(self, ring, error, sweep, projects):
        """Tell the daemon that what it asked for as ``Work.later`` is done, or what failed.

        :param sweep: as in ``Later``
        :param projects: as in ``acknowledge``
        """
        told = {'ring': ring, 'error': error, 'sweep': sweep, 'projects': projects}
        self._tell('/v1/doorbell/done', {'node': _node(), **told})

    def sweep(self, domain_id):
        """Tell the daemon that guests are shut out, for the caches of other services."""
        self._tell('/v1/guests/sweep', {'domain_id': domain_id})

    def _tell(self, target, body):
        """Not a question: it takes no place."""
        try:
            status, _content = self._post(target, body)
        except exchange.Failed as failure:
            LOG.warning('The alliance daemon cannot be told (POST %s): %s', target, failure)
        else:
            if status != 204:
                LOG.warning('The alliance daemon answered %d to POST %s', status, target)

    def _ask(self, target, body):
        ticket = self.breaker.admit()
        if ticket is None:
            raise Indeterminate('daemon_unreachable', 'it did not answer a moment ago')
        try:
            with self.bulkhead.question():
                status, content = self._post(target, body)
            answer = _parse(content)
        except exchange.Failed as failure:
            self.breaker.failed(ticket)
            raise Indeterminate('daemon_unreachable', str(failure)) from failure
        except BaseException:
            self.breaker.released(ticket)
            raise
        self.breaker.succeeded()
        return self._judge(status, answer)

    def _judge(self, status, answer):
        said = answer.get('status')
        reason = answer.get('reason')
        reason = reason if isinstance(reason, str) and reason.isidentifier() else None
        if status == 200 and said == 'valid':
            return answer
        if status == 200 and said == 'invalid':
            self.bulkhead.note_invalid()
            raise Refused(reason or 'not_found')
        raise Indeterminate(reason or 'home_error', f'the alliance daemon answered {status}')

    def _post(self, target, body):
        request_id = request.current_id()
        LOG.debug('Asking the alliance daemon: POST %s, request id %s', target, request_id)
        return exchange.post(
            self._settings.socket,
            self._settings.socket_owners,
            target,
            json.dumps(body).encode('utf-8'),
            {'x-openstack-request-id': request_id, **request.trace_context()},
            self._settings.deadline,
        )


def _parse(content):
    if not content:
        return {}
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        raise exchange.Failed('the answer is not JSON') from None
    if not isinstance(answer, dict):
        raise exchange.Failed('the answer is not a JSON object')
    return answer


# A worker that was forked while its parent had questions out starts with none of its own.
_all = weakref.WeakSet()


def _reset_after_fork():
    for daemon in list(_all):
        daemon._reset()


os.register_at_fork(after_in_child=_reset_after_fork)
