"""A partner's users and projects in this Keystone: shadow users, shadow projects.

All is done by direct calls of Keystone's managers. Ids decide who is who; names are labels.
"""

import functools
import random
import re
import threading
import time

from keystone import exception
from keystone.common import provider_api
from keystone.common import sql
from keystone.common import utils
import keystone.conf
from keystone.identity.backends import sql_model as identity_sql
from keystone.resource.backends import sql_model as resource_sql
from oslo_db import exception as db_exception
from oslo_log import log
from sqlalchemy.exc import DBAPIError

from keystone_alliance import compat
from keystone_alliance import ids
from keystone_alliance import passport
from keystone_alliance.refusal import Refused

CONF = keystone.conf.CONF
LOG = log.getLogger(__name__)
PROVIDERS = provider_api.ProviderAPIs

PROTOCOL = 'alliance'
MAX_PROJECT_NAME = 64
_ATTEMPTS = 12
# oslo.db translates what statements raise, but not all that a commit raises.
_PASSING = (exception.Conflict, db_exception.DBError, DBAPIError)
_HEX = re.compile(r'[0-9a-f]{8}')

# The limits are counted before creating: one creation at a time in a worker keeps the overshoot
# below the number of workers.
_creating = threading.Lock()


def retrying(function):
    """Repeat a get-create-get that met another worker doing the same, or a locked database."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return function(*args, **kwargs)
            except _PASSING as error:
                if attempt == _ATTEMPTS:
                    raise
                LOG.debug('Attempt %d of %s: %s', attempt, function.__name__, error)
                time.sleep(random.uniform(0.5, 1.0) * min(0.01 * 2**attempt, 0.3))  # noqa: S311
        raise AssertionError

    return wrapper


def check_objects(partner):
    """Make sure that the operator of this Keystone has not shut the partner out.

    :raises Refused: ``identity_provider_disabled``
    """
    reason = 'identity_provider_disabled'
    try:
        idp = PROVIDERS.federation_api.get_idp(partner.idp_id)
        PROVIDERS.federation_api.get_protocol(partner.idp_id, partner.protocol_id)
        domain = PROVIDERS.resource_api.get_domain(partner.domain_id)
    except exception.NotFound as error:
        raise Refused(reason, str(error)) from None
    if not idp['enabled']:
        raise Refused(reason, f'identity provider {partner.idp_id} is disabled')
    if idp['domain_id'] != partner.domain_id:
        raise Refused(reason, f'identity provider {partner.idp_id} is not the one of the partner')
    if not domain.get('enabled', True):
        raise Refused(reason, f'domain {partner.domain_id} is disabled')


@retrying
def shadow_user(partner, user):
    """Return the shadow user of a home user, made or renamed if need be.

    :param user: ``passport.Named``
    :raises Refused: ``user_disabled`` or ``user_limit``
    """
    found = _find_user(partner, user.id)
    if found is None:
        with _creating:
            if _find_user(partner, user.id) is None:
                _check_limit('user_limit', partner.max_users, _count_users, partner)
                _shadow(partner, user)
                LOG.info('Shadow user for %s of partner %s', user.id, partner.name)
        found = _find_user(partner, user.id)
    elif found['name'] != user.name:
        _shadow(partner, user)
        PROVIDERS.identity_api.get_user.invalidate(PROVIDERS.identity_api, found['id'])
    if found is None or found['domain_id'] != partner.domain_id:
        raise Refused('identity_provider_disabled', 'the shadow user is in another domain')
    if not found['enabled']:
        raise Refused('user_disabled', f'shadow user {found["id"]} is disabled')
    return found


def _find_user(partner, home_user_id):
    try:
        return PROVIDERS.shadow_users_api.get_federated_user(
            partner.idp_id, partner.protocol_id, home_user_id
        )
    except exception.UserNotFound:
        return None


def _shadow(partner, user):
    compat.shadow_federated_user(
        partner.idp_id, partner.protocol_id, user.id, user.name, partner.domain_id
    )


@retrying
def shadow_project(partner, project):
    """Return the shadow project of a home project, made or renamed if need be.

    :param project: ``passport.Named``
    :raises Refused: ``project_disabled`` or ``project_limit``
    """
    project_id = ids.project_id(partner.cloud_id, project.id)
    names = project_names(project)
    found = _find_project(project_id)
    if found is None:
        with _creating:
            found = _find_project(project_id)
            if found is None:
                _check_limit('project_limit', partner.max_projects, _count_projects, partner)
                found = _create_project(partner, project, project_id, names)
    elif found['name'] not in names:
        found = _rename_project(found, names)
    if home_project_id(partner, found) != project.id:
        raise Refused('project_conflict', f'project {project_id} is not that of the partner')
    if not found['enabled']:
        raise Refused('project_disabled', f'shadow project {project_id} is disabled')
    return found


def home_project_id(partner, project):
    """Home id of a project if it is a shadow project of ``partner``, else None."""
    home_id = project.get('alliance_project_id')
    if (
        home_id
        and project['domain_id'] == partner.domain_id
        and project['id'] == ids.project_id(partner.cloud_id, home_id)
    ):
        return home_id
    return None


def allowed_roles(partner, home_project_id):
    """Names of the roles that live agreements give a home project; none without a partner."""
    return set() if partner is None else partner.roles_for(home_project_id, time.time())


def project_names(project):
    """Names for a shadow project: the first if it is free, else the second."""
    label = passport.clean(f'{project.name}@{project.domain_name}')
    if CONF.resource.project_name_url_safe != 'off':
        unsafe = utils.list_url_unsafe_chars(label)
        label = ''.join('_' if character in unsafe else character for character in label)
    short = project.id[:8] if _HEX.match(project.id) else ids.token_sha256(project.id)[:8]
    suffix = f'-{short}'
    unique = label[: MAX_PROJECT_NAME - len(suffix)].strip() + suffix
    if len(label) > MAX_PROJECT_NAME:
        return (unique,)
    return (label, unique)


def _find_project(project_id):
    try:
        return PROVIDERS.resource_api.get_project(project_id)
    except exception.ProjectNotFound:
        return None


def _create_project(partner, project, project_id, names):
    for name in names:
        try:
            PROVIDERS.resource_api.create_project(
                project_id,
                {
                    'id': project_id,
                    'name': name,
                    'domain_id': partner.domain_id,
                    'parent_id': partner.domain_id,
                    'is_domain': False,
                    'enabled': True,
                    'description': f'Project of Alliance partner {partner.cloud_id}',
                    'alliance_project_id': project.id,
                    'alliance_cloud_id': partner.cloud_id,
                },
            )
        except exception.Conflict:
            if _find_project(project_id) is not None:
                break
        else:
            LOG.info('Shadow project %s for %s of %s', project_id, project.id, partner.name)
            break
    found = _find_project(project_id)
    if found is None:
        raise Refused('project_conflict', f'the names {names} are taken')
    return found


def _rename_project(project, names):
    for name in names:
        try:
            return PROVIDERS.resource_api.update_project(project['id'], {'name': name})
        except exception.Conflict:
            continue
        except exception.Error as error:
            LOG.warning('Shadow project %s cannot be renamed: %s', project['id'], error)
            break
    return project


def _check_limit(reason, limit, count, partner):
    if limit is not None and count(partner) >= limit:
        raise Refused(reason, f'partner {partner.name} has its {limit} already')


def _count_users(partner):
    with sql.session_for_read() as session:
        query = session.query(identity_sql.FederatedUser)
        return query.filter_by(idp_id=partner.idp_id, protocol_id=partner.protocol_id).count()


def _count_projects(partner):
    with sql.session_for_read() as session:
        query = session.query(resource_sql.Project.id)
        return query.filter_by(domain_id=partner.domain_id, is_domain=False).count()
