"""Roles of guests: the difference between what is allowed and what is there.

Taken away as well as given, for one user in one project; where nothing differs nothing is called
that would flush Keystone's caches.
"""

from keystone import exception
from keystone.assignment import core as assignment_core
from keystone.common import driver_hints
from keystone.common import provider_api
from oslo_log import log

from keystone_alliance.guest import retrying
from keystone_alliance.refusal import Refused

LOG = log.getLogger(__name__)
PROVIDERS = provider_api.ProviderAPIs


@retrying
def reconcile(user_id, project_id, allowed):
    """Make the global roles named in ``allowed`` the ones granted to a user in a project.

    :returns: the names of those that exist in this Keystone
    """
    held = PROVIDERS.assignment_api.list_grants(user_id=user_id, project_id=project_id)
    kept = set()
    for role in held:
        if role['name'] in allowed and role.get('domain_id') is None:
            kept.add(role['name'])
        else:
            revoke(role['id'], user_id, project_id)
    for name in sorted(allowed - kept):
        role_id = _global_role_id(name)
        if role_id is not None:
            PROVIDERS.assignment_api.create_grant(role_id, user_id=user_id, project_id=project_id)
            kept.add(name)
    return kept


def revoke(role_id, user_id, project_id):
    """Take one role away; it may be gone already."""
    try:
        PROVIDERS.assignment_api.delete_grant(role_id, user_id=user_id, project_id=project_id)
    except (exception.RoleAssignmentNotFound, exception.RoleNotFound):
        LOG.debug('Role %s of user %s is gone already', role_id, user_id)


def check_power(user_id, project_id, admin_roles, allowed):
    """Refuse a user who has got an administrator's role in some other way than by agreement.

    Roles also come by groups, by inheritance and by implication.

    :raises Refused: ``admin_role``
    """
    names = _effective(user_id, project_id)
    if not names <= allowed and _remembers_too_much(user_id, project_id):
        assignment_core.COMPUTED_ASSIGNMENTS_REGION.invalidate()
        names = _effective(user_id, project_id)
    if powers := names & (admin_roles - allowed):
        named = ', '.join(sorted(powers))
        raise Refused('admin_role', f'shadow user {user_id} holds {named} in {project_id}')


def _effective(user_id, project_id):
    role_ids = PROVIDERS.assignment_api.get_roles_for_user_and_project(user_id, project_id)
    return {PROVIDERS.role_api.get_role(role_id)['name'] for role_id in role_ids}


def _remembers_too_much(user_id, project_id):
    """Whether a role is remembered that is in the database no more.

    So it is while another process takes it away, until that tells the caches.
    """
    remembered = PROVIDERS.assignment_api.list_role_assignments(
        user_id=user_id, project_id=project_id, effective=True
    )
    # Keystone 22 remembers the result alone, not what it is made of.
    all_of_them = {one['role_id'] for one in remembered}
    role_ids = PROVIDERS.assignment_api.get_roles_for_user_and_project(user_id, project_id)
    direct = {one['role_id'] for one in remembered if 'indirect' not in one}
    held = PROVIDERS.assignment_api.list_grants(user_id=user_id, project_id=project_id)
    return not (direct <= {role['id'] for role in held} and set(role_ids) <= all_of_them)


def _global_role_id(name):
    hints = driver_hints.Hints()
    hints.add_filter('name', name, case_sensitive=True)
    hints.add_filter('domain_id', None)
    for role in PROVIDERS.role_api.list_roles(hints=hints):
        if role['name'] == name and role.get('domain_id') is None:
            return role['id']
    return None
