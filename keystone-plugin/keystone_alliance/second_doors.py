"""Drivers that keep guests from making what would let them in after they have logged out at home.

Application credentials, EC2 and TOTP secrets, trusts and OAuth tokens outlive the token that they
were made with. Keystone's own drivers do everything else, and everything for local users.
"""

from keystone import exception
from keystone.application_credential.backends import sql as application_credential_sql
from keystone.common import provider_api
from keystone.credential.backends import sql as credential_sql
from keystone.oauth1.backends import sql as oauth1_sql
from keystone.trust.backends import sql as trust_sql
from oslo_log import log

from keystone_alliance.admission import is_shadow

LOG = log.getLogger(__name__)
PROVIDERS = provider_api.ProviderAPIs


class ApplicationCredential(application_credential_sql.ApplicationCredential):
    """``[application_credential] driver = alliance``."""

    def create_application_credential(self, application_credential, roles, access_rules=None):
        """Store one, unless it is a guest's."""
        _refuse_guests('application credentials', application_credential['user_id'])
        return super().create_application_credential(application_credential, roles, access_rules)


class Credential(credential_sql.Credential):
    """``[credential] driver = alliance``."""

    def create_credential(self, credential_id, credential):
        """Store one, unless it is a guest's."""
        _refuse_guests('credentials', credential.get('user_id'))
        return super().create_credential(credential_id, credential)

    def update_credential(self, credential_id, credential):
        """Change one, unless it is a guest's or would be."""
        known = self.get_credential(credential_id)
        _refuse_guests('credentials', known.get('user_id'), credential.get('user_id'))
        return super().update_credential(credential_id, credential)


class Trust(trust_sql.Trust):
    """``[trust] driver = alliance``."""

    def create_trust(self, trust_id, trust, roles):
        """Store one, unless a guest would give or get it."""
        _refuse_guests('trusts', trust.get('trustor_user_id'), trust.get('trustee_user_id'))
        return super().create_trust(trust_id, trust, roles)


class OAuth1(oauth1_sql.OAuth1):
    """``[oauth1] driver = alliance``."""

    def authorize_request_token(self, request_token_id, user_id, role_ids):
        """Let a consumer act for a user, unless that is a guest."""
        _refuse_guests('OAuth tokens', user_id)
        return super().authorize_request_token(request_token_id, user_id, role_ids)

    def create_access_token(self, request_id, access_token_duration):
        """Store one, unless a guest has authorised it before this driver was there."""
        authorised_by = self.get_request_token(request_id).get('authorizing_user_id')
        _refuse_guests('OAuth tokens', authorised_by)
        return super().create_access_token(request_id, access_token_duration)


def _refuse_guests(what, *user_ids):
    """Look at users whom Keystone remembers anyway.

    :raises keystone.exception.Forbidden: one of them is a guest
    """
    for user_id in filter(None, user_ids):
        try:
            user = PROVIDERS.identity_api.get_user(user_id)
        except exception.UserNotFound:
            continue
        if is_shadow(user):
            LOG.info('Guest %s may not make %s', user_id, what)
            raise exception.ForbiddenAction(
                action=f'make {what} here as the guest of another cloud; '
                'they would outlive the login there'
            )
