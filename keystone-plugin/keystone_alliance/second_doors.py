"""Drivers that keep guests from making what would let them in after they have logged out at home.

Application credentials, EC2 and TOTP secrets, trusts and OAuth tokens outlive the token that they
were made with, and a SAML assertion opens a cloud that nobody here can tell of the logout.
Keystone's own drivers do everything else, and everything for local users.
"""

import flask
from keystone import exception
from keystone.application_credential.backends import sql as application_credential_sql
from keystone.common import provider_api
import keystone.conf
from keystone.credential.backends import sql as credential_sql
from keystone.federation.backends import sql as federation_sql
from keystone.oauth1.backends import sql as oauth1_sql
from keystone.trust.backends import sql as trust_sql
from oslo_log import log

from keystone_alliance import leases
from keystone_alliance import options
from keystone_alliance import snapshot
from keystone_alliance.admission import is_shadow

CONF = keystone.conf.CONF
LOG = log.getLogger(__name__)
PROVIDERS = provider_api.ProviderAPIs

# What no agreement can allow.
_CREDENTIAL = leases.Door('', 'credentials', 'delegated_method')
_ASSERTION = leases.Door('', 'SAML assertions', 'delegated_method')
_DOORS = {'ec2': leases.EC2, 'totp': leases.TOTP}
_ASSERTIONS = ('/auth/OS-FEDERATION/saml2', '/auth/OS-FEDERATION/saml2/ecp')


class ApplicationCredential(application_credential_sql.ApplicationCredential):
    """``[application_credential] driver = alliance``."""

    def create_application_credential(self, application_credential, roles, access_rules=None):
        """Store one, unless it is a guest's."""
        _refuse_guests(
            leases.APPLICATION_CREDENTIAL,
            application_credential.get('project_id'),
            application_credential['user_id'],
        )
        return super().create_application_credential(application_credential, roles, access_rules)


class Credential(credential_sql.Credential):
    """``[credential] driver = alliance``."""

    def create_credential(self, credential_id, credential):
        """Store one, unless it is a guest's."""
        door = _DOORS.get(credential.get('type'), _CREDENTIAL)
        _refuse_guests(door, credential.get('project_id'), credential.get('user_id'))
        return super().create_credential(credential_id, credential)

    def update_credential(self, credential_id, credential):
        """Change one, unless it is a guest's or would be."""
        known = self.get_credential(credential_id)
        after = {**known, **credential}
        for each in (known, after):
            door = _DOORS.get(each['type'], _CREDENTIAL)
            _refuse_guests(door, each.get('project_id'), each.get('user_id'))
        return super().update_credential(credential_id, credential)


class Trust(trust_sql.Trust):
    """``[trust] driver = alliance``."""

    def create_trust(self, trust_id, trust, roles):
        """Store one, unless a guest would give or get it, or has had it before it is passed on."""
        chain = [trust]
        if trust.get('redelegated_trust_id'):
            chain += PROVIDERS.trust_api.get_trust_pedigree(trust['redelegated_trust_id'])
        for link in chain:
            people = link.get('trustor_user_id'), link.get('trustee_user_id')
            _refuse_guests(leases.TRUST, link.get('project_id'), *people)
        return super().create_trust(trust_id, trust, roles)


class OAuth1(oauth1_sql.OAuth1):
    """``[oauth1] driver = alliance``."""

    def authorize_request_token(self, request_token_id, user_id, role_ids):
        """Let a consumer act for a user, unless that is a guest."""
        project_id = self.get_request_token(request_token_id)['requested_project_id']
        _refuse_guests(leases.OAUTH, project_id, user_id)
        return super().authorize_request_token(request_token_id, user_id, role_ids)

    def create_access_token(self, request_id, access_token_duration):
        """Store one, unless a guest has authorised it before this driver was there."""
        request = self.get_request_token(request_id)
        authorised_by = request.get('authorizing_user_id')
        _refuse_guests(leases.OAUTH, request['requested_project_id'], authorised_by)
        return super().create_access_token(request_id, access_token_duration)


class Federation(federation_sql.Federation):
    """``[federation] driver = alliance``."""

    def get_sp(self, sp_id):
        """Return a service provider, unless an assertion for it is about to be made for a guest.

        Keystone-to-Keystone federation has no driver of its own; this is what it calls first.
        """
        service_provider = super().get_sp(sp_id)
        if flask.has_request_context() and flask.request.path.endswith(_ASSERTIONS):
            body = flask.request.get_json(silent=True, force=True)
            shown = body['auth']['identity']['token']['id']
            token = PROVIDERS.token_provider_api.validate_token(shown)
            _refuse_guests(_ASSERTION, None, token.user_id)
        return service_provider


def _refuse_guests(door, project_id, *user_ids):
    """Look at users whom Keystone remembers anyway.

    :param door: what is about to be made, in which project
    :raises keystone.exception.ForbiddenNotSecurity: one of them is a guest whom no agreement allows
        it; other kinds of 403 hide from the user what they say
    """
    for user_id in filter(None, user_ids):
        try:
            user = PROVIDERS.identity_api.get_user(user_id)
        except exception.UserNotFound:
            continue
        if is_shadow(user) and not leases.may_make(_snapshot(), user, project_id, door):
            LOG.info('Guest %s may not make %s', user_id, door.title)
            raise exception.ForbiddenNotSecurity(
                f'The guest of another cloud has no {door.title} here: '
                'they would outlive the login there'
            )


def _snapshot():
    return snapshot.source(options.load(CONF).snapshot).current()
