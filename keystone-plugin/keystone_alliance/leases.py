"""Guest leases: what a guest made here, and may use as long as home stands by the guest.

An agreement says which things its users may make although they outlive their login. At each use
home is asked for the roles of the guest, as for any token made here; while it is silent, its last
good word counts for a while.
"""

import time
import typing

from keystone import exception
from keystone.common import provider_api

from keystone_alliance import guest

PROVIDERS = provider_api.ProviderAPIs


class Door(typing.NamedTuple):
    """Something that lets its owner in without a login at home."""

    name: str  # in agreements
    title: str  # in messages
    reason: str  # why it is refused where no agreement names it


APPLICATION_CREDENTIAL = Door(
    'application-credentials', 'application credentials', 'application_credential'
)
EC2 = Door('ec2', 'EC2 credentials', 'delegated_method')
TOTP = Door('totp', 'secrets of passcodes', 'delegated_method')
TRUST = Door('trusts', 'trusts', 'trust')
OAUTH = Door('oauth', 'OAuth tokens', 'oauth')


def door_of(methods, trust_id, access_token_id, app_cred_id):
    """Return the ``Door`` by which a token of this cloud was got, None for another token.

    Tokens of partners never have the methods that are named here: ``admission`` sees to it.
    """
    if trust_id:
        return TRUST
    if access_token_id:
        return OAUTH
    if app_cred_id:
        return APPLICATION_CREDENTIAL
    if 'ec2credential' in methods:
        return EC2
    if 'totp' in methods:
        return TOTP
    return None


def allows(partner, home_project_id, door):
    """Whether an agreement with ``partner`` that holds now lets its users have this."""
    return any(
        agreement.covers(home_project_id) and door.name in agreement.allow
        for agreement in partner.live_agreements(time.time())
    )


def may_make(snapshot, user, project_id, door):
    """Whether the guest ``user`` may make what opens ``door`` in a project of this cloud."""
    partner = snapshot.partner_of_domain(user['domain_id'])
    if partner is None or partner.status != 'active' or not project_id:
        return False
    try:
        project = PROVIDERS.resource_api.get_project(project_id)
    except exception.ProjectNotFound:
        return False
    home_project_id = guest.home_project_id(partner, project)
    return home_project_id is not None and allows(partner, home_project_id, door)
