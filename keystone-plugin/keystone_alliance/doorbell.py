"""The doorbell: a string that is never a token, with which the daemon has Keystone look again.

Keystone asks the daemon what there is to do. Partners or agreements have changed: what Keystone
remembers of tokens and catalogs is dropped, and then grants that no agreement allows any more are
taken away. Partners' users have logged out at home: their sessions end here.
"""

import hashlib
import hmac
import re
import threading

from keystone import exception
from keystone.catalog import core as catalog_core
from keystone.common import provider_api
from oslo_log import log

from keystone_alliance import form
from keystone_alliance import grants
from keystone_alliance import guest
from keystone_alliance import ids
from keystone_alliance import passport
from keystone_alliance import sign_out
from keystone_alliance import staleness
from keystone_alliance.admission import is_shadow
from keystone_alliance.refusal import Refused
from keystone_alliance.snapshot import NOTHING
from keystone_alliance.snapshot import Unusable

LOG = log.getLogger(__name__)
PROVIDERS = provider_api.ProviderAPIs

_PREFIX = form.RING + '~'
_LONGEST = 256
_DESCRIPTION = re.compile(r'Alliance partner ([a-z2-7]{52})\Z')


class Doorbell:
    """Answers rings whose hash is in the snapshot; all others cost nothing."""

    def __init__(self, source, daemon):
        self._source = source
        self._daemon = daemon
        self._answering = threading.Lock()

    @staticmethod
    def is_ring(token_id):
        return token_id.startswith(_PREFIX)

    def ring(self, token_id):
        """Do what a genuine ring asks for; do nothing for another string."""
        expected = self._source.current().ring
        if expected is None or len(token_id) > _LONGEST or not token_id.isascii():
            return
        if not hmac.compare_digest(_hash(token_id), expected):
            return
        if not self._answering.acquire(blocking=False):
            return  # another thread is at it
        try:
            work = self._answer(token_id[len(_PREFIX) :])
        finally:
            self._answering.release()
        if work.later is not None:
            self._tidy(token_id[len(_PREFIX) :], work.later)

    def _answer(self, ring):
        """Do what nobody may wait for, and all there is if the daemon knows no later."""
        work = self._daemon.ask_what_to_do(ring)
        staleness.leave_earlier_request()
        current = self._source.current
        if work.batch is None and current().ring != _hash(_PREFIX + ring):
            # Something has changed since: the daemon rings otherwise, and waits.
            staleness.flush()
            return work
        projects = {}
        steps = _at_once(current, work)
        if work.later is None:
            steps += _making(current, work.projects, projects)
            steps += [lambda: _sweep(current)] if work.changed else []
        self._daemon.acknowledge(ring, _done(steps), work.batch, projects)
        return work

    def _tidy(self, ring, later):
        """Do what takes its time: a session that ends meanwhile ends in another thread."""
        current = self._source.current
        projects = {}
        # Somebody waits for these.
        if steps := _making(current, later.projects, projects):
            self._daemon.acknowledge_later(ring, _done(steps), None, projects)
        if later.sweep is not None:
            error = _done([lambda: _sweep(current)])
            self._daemon.acknowledge_later(ring, error, later.sweep, {})


def _hash(token_id):
    return hashlib.sha256(token_id.encode()).hexdigest()


def _at_once(current, work):
    steps = []
    if work.sessions:
        steps.append(lambda: _end_sessions(_usable(current), work.sessions))
    if work.changed or work.flush or work.sessions:
        steps.append(staleness.flush)
    if work.changed:
        steps.append(catalog_core.COMPUTED_CATALOG_REGION.invalidate)
    return steps


def _making(current, wanted, projects):
    """The step that makes projects, if any are wanted.

    :param projects: is told what became of each
    """
    if not wanted:
        return []
    return [lambda: projects.update(_make(_usable(current), each) for each in wanted)]


def _done(steps):
    """Do each, whether or not the one before could be done.

    :returns: what failed, or None
    """
    failed = [error for step in steps if (error := _error_of(step))]
    return f'{"; ".join(failed)}: see the log of Keystone' if failed else None


def _error_of(step):
    try:
        step()
    except Exception as error:
        LOG.exception('What the daemon has asked for was not done')
        return type(error).__name__
    return None


def _end_sessions(snapshot, sessions):
    ended = sign_out.end(snapshot, sessions)
    LOG.info('Doorbell: %d session(s) of partners have ended', ended)


def _sweep(current):
    removed = sweep(current)
    LOG.info('Doorbell: %d grant(s) taken away', removed)


def _make(snapshot, project):
    """Have a partner's project here before one of its users comes.

    :returns: its id here, and why it is not there, if it is not
    """
    here = ids.project_id(project['cloud_id'], project['project_id'])
    partner = snapshot.partners.get(ids.tag_of(project['cloud_id']))
    try:
        if not guest.allowed_roles(partner, project['project_id']):
            return here, 'no agreement covers it'
        guest.check_objects(partner)
        home = passport.Named(project['project_id'], project['name'], '', project['domain_name'])
        guest.shadow_project(partner, home)
    except Refused as refused:
        return here, refused.detail or refused.reason
    except Exception as error:
        # One that cannot be made must not hold up what else there is to do.
        LOG.exception('Project %s was not made', here)
        return here, f'{type(error).__name__}: see the log of Keystone'
    return here, None


def sweep(current):
    """Take away what shadow users hold in shadow projects beyond every live agreement.

    :param current: returns the newest snapshot: meanwhile somebody may be let in by another one
    :returns: the number of grants removed
    :raises Unusable: there is no snapshot any more, from which nothing follows
    """
    return sum(_sweep_domain(current, *found) for found in _partner_domains(_usable(current)))


def _usable(current):
    snapshot = current()
    if snapshot is NOTHING:
        raise Unusable('the snapshot was lost meanwhile')
    return snapshot


def _partner_domains(snapshot):
    """Domain id and cloud id of partners, also of removed ones whose objects are still here."""
    found = {partner.domain_id: partner.cloud_id for partner in snapshot.partners.values()}
    for idp in PROVIDERS.federation_api.list_idps():
        match = _DESCRIPTION.match(idp.get('description') or '')
        if match and ids.domain_id(match.group(1)) == idp['domain_id']:
            found[idp['domain_id']] = match.group(1)
    return sorted(found.items())


def _sweep_domain(current, domain_id, cloud_id):
    try:
        projects = PROVIDERS.resource_api.list_projects_in_domain(domain_id)
    except exception.DomainNotFound:
        return 0
    removed = 0
    for project in projects:
        home_id = project.get('alliance_project_id')
        if home_id is None:
            continue
        for assignment in PROVIDERS.assignment_api.list_role_assignments(project_id=project['id']):
            role = _shadow_role(assignment, project['id'])
            if role is None:
                continue
            # Looked at last: what a newer snapshot allows may have been given meanwhile.
            partner = _usable(current).partners.get(ids.tag_of(cloud_id))
            if role not in guest.allowed_roles(partner, home_id):
                grants.revoke(assignment['role_id'], assignment['user_id'], project['id'])
                removed += 1
    return removed


def _shadow_role(assignment, project_id):
    """What a shadow user holds in a project: a role's name, or '' of a role that is not global.

    :returns: None: nobody who is one holds anything
    """
    if assignment.get('project_id') != project_id or not assignment.get('user_id'):
        return None
    try:
        role = PROVIDERS.role_api.get_role(assignment['role_id'])
        user = PROVIDERS.identity_api.get_user(assignment['user_id'])
    except exception.NotFound:
        return None
    if not is_shadow(user):
        return None
    return role['name'] if role.get('domain_id') is None else ''
