"""Token provider that composes the one of this cloud and lets partners' tokens in."""

from keystone import exception
from keystone.common import manager
from keystone.common import provider_api
import keystone.conf
from keystone.token.providers import base
from oslo_log import log

from keystone_alliance import admission
from keystone_alliance import form
from keystone_alliance import ids
from keystone_alliance import killswitch
from keystone_alliance import leases
from keystone_alliance import middleware
from keystone_alliance import options
from keystone_alliance import refusal
from keystone_alliance import routing
from keystone_alliance import snapshot
from keystone_alliance import staleness
from keystone_alliance.daemon import Daemon
from keystone_alliance.doorbell import Doorbell
from keystone_alliance.refusal import Indeterminate
from keystone_alliance.refusal import Refused

CONF = keystone.conf.CONF
LOG = log.getLogger(__name__)
PROVIDERS = provider_api.ProviderAPIs

_NAMESPACE = 'keystone.token.provider'


class Provider(base.Provider):
    """``[token] provider = alliance``.

    Tokens of this cloud are made and validated by ``[alliance] inner_provider`` alone. The daemon
    is asked about tokens of partners, and about tokens made here for their users.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        settings = options.load(CONF)
        if settings.inner_provider == 'alliance':
            raise SystemExit(
                '[alliance] inner_provider names this plugin itself; set it to what [token] '
                'provider was before, fernet or jws'
            )
        self._settings = settings
        self._inner = manager.load_driver(_NAMESPACE, settings.inner_provider)
        self._source = snapshot.source(settings.snapshot)
        self._routing = routing.Routing(settings, self._source)
        daemon = Daemon(settings)
        self._admission = admission.Admission(settings, self._source, daemon)
        self._doorbell = Doorbell(self._source, daemon)
        staleness.bound_cache_time(settings.max_staleness)
        staleness.install(lambda: daemon.bulkhead.is_stuck())
        killswitch.install(self._source, daemon)
        middleware.install()

    def generate_id_and_issued_at(self, token):
        """Issue a token, tagged as one of this cloud if so configured."""
        staleness.remember_from(None)
        token_id, issued_at = self._inner.generate_id_and_issued_at(token)
        if self._settings.tag_tokens:
            tag = self._source.own_tag()
            if tag:
                token_id = f'{tag}~{token_id}'
        self._check_issue(token, token_id)
        return token_id, issued_at

    def validate_token(self, token_id):
        """Return Keystone's values of a token of this cloud or of a partner."""
        staleness.remember_from(None)
        if not form.is_tagged(token_id):
            return self._validate_untagged(token_id)
        if self._doorbell.is_ring(token_id):
            self._doorbell.ring(token_id)
            raise refusal.not_found()
        with _Answering(token_id, self._source, refusal.not_found):
            tag, inner = form.split(token_id)
            own_tag = self._source.own_tag()
            # Without any snapshot yet, whose token it is shows in whether it is one of ours.
            if own_tag is not None and tag != own_tag:
                return self._admission.admit(token_id, tag, inner)
            form.check_spelling(inner)
        return self._validate_own(token_id, inner)

    def issue_passport(self, cloud, token_sha256, token, jkt):
        """For the auth method, see ``Admission.issue_passport``."""
        with _Answering(None, self._source, refusal.PassportRefused, about='a login passport'):
            return self._admission.issue_passport(cloud, token_sha256, token, jkt)

    def log_in(self, passport, proof):
        """For the auth method, see ``Admission.log_in``."""
        with _Answering(None, self._source, refusal.PassportRefused, about='a login passport'):
            return self._admission.log_in(passport, proof)

    def _validate_untagged(self, token_id):
        tag = self._routing.partner_of(token_id)
        if tag is not None:
            with _Answering(token_id, self._source, refusal.not_found, tag=tag):
                form.check_length(token_id)
                if self._is_own_without_tag(token_id):
                    raise Refused('malformed', 'a token of this cloud whose tag is missing')
                return self._admission.admit(token_id, tag, token_id)
        if not self._settings.accept_untagged:
            raise refusal.not_found()
        return self._validate_own(token_id, token_id)

    def _is_own_without_tag(self, token_id):
        """Whether the inner provider made this: a partner must not see it, whatever it claims."""
        inner = self._settings.inner_provider
        # A provider of another name may issue anything.
        if inner in form.FORMATS and form.looks_like(token_id) != inner:
            return False
        try:
            self._inner.validate_token(token_id)
        except exception.Error:
            return False
        return True

    def _validate_own(self, token_id, inner):
        values = self._inner.validate_token(inner)
        user_id, methods, audit_ids, system, domain_id, project_id, trust_id = values[:7]
        access_token_id, app_cred_id = values[10:12]
        user = _guest_behind(user_id, trust_id)
        if user is not None:
            with _Answering(token_id, self._source, refusal.not_found):
                staleness.forget(token_id)
                door = leases.door_of(methods, trust_id, access_token_id, app_cred_id)
                _check_derived(methods, system, domain_id, door)
                self._admission.confirm(user, project_id, token_id, values[-1], audit_ids, door)
        return values

    def _check_issue(self, token, token_id):
        user = _guest_behind(token.user_id, token.trust_id)
        if user is not None:
            with _Answering(None, self._source, refusal.not_authorized, user):
                door = leases.door_of(
                    token.methods,
                    token.trust_id,
                    token.access_token_id,
                    token.application_credential_id,
                )
                _check_derived(token.methods, token.system, token.domain_id, door)
                self._admission.confirm(
                    user, token.project_id, token_id, token.expires_at, token.audit_ids, door
                )


def _guest_behind(user_id, trust_id):
    """Return the shadow user whose rights a token of this cloud carries, or None.

    Keystone looks the user up itself right after this, and remembers it from here.
    """
    try:
        user = PROVIDERS.identity_api.get_user(user_id)
        if trust_id and not admission.is_shadow(user):
            trusts = PROVIDERS.trust_api.get_trust_pedigree(trust_id)
            user = PROVIDERS.identity_api.get_user(trusts[-1]['trustor_user_id'])
    except exception.NotFound:
        return None
    return user if admission.is_shadow(user) else None


def _check_derived(methods, system, domain_id, door):
    """Refuse tokens of guests that were not made from a token or a login passport of theirs.

    Anything else, such as an application credential made while visiting, would be a second door
    that stays open after the logout at home. Whether an agreement allows the one that it is,
    ``admission`` says.
    """
    if door is None and not {'token', 'alliance'}.intersection(methods):
        raise Refused('delegated_method', 'a guest logs in at home')
    if system:
        raise Refused('system_scope')
    if domain_id:
        raise Refused('domain_scope')


class _Answering:
    """Turns refusals into Keystone's answers, each logged once, without the token.

    :param refused: makes Keystone's answer to a definite no, of its reason
    :param about: what was asked about, where it is neither a token nor one of a ``user``
    """

    def __init__(self, token_id, source, refused, user=None, tag=None, about=None):
        self._token_id = token_id
        self._source = source
        self._refused = refused
        self._user = user
        self._tag = tag
        self._about = about

    def __enter__(self):
        return self

    def __exit__(self, _type, error, _traceback):
        if error is None:
            return
        if isinstance(error, Refused):
            self._log(LOG.info, 'Refused', error)
            raise self._refused(error.reason) from None
        if isinstance(error, Indeterminate):
            self._log(LOG.warning, 'Undecided', error)
            raise refusal.indeterminate() from None
        if isinstance(error, Exception):
            LOG.exception('Undecided: %s', self._what())
            raise refusal.indeterminate() from None

    def _log(self, write, verdict, error):
        detail = f': {error.detail}' if error.detail else ''
        write('%s (%s): %s%s', verdict, error.reason, self._what(), detail)

    def _what(self):
        if self._about is not None:
            return self._about
        partners = self._source.current().partners
        if self._user is not None:
            partner = self._source.current().partner_of_domain(self._user['domain_id'])
            name = partner.name if partner else 'unknown'
            return f'a token for shadow user {self._user["id"]} of partner {name}'
        tag = self._tag or self._token_id.partition('~')[0]
        name = partners[tag].name if tag in partners else 'unknown'
        return f'token {ids.redacted(self._token_id)} of partner {name}'
