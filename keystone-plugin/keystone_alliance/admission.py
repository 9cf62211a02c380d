"""Who may come in: tokens of partners, and tokens made here for their users."""

import time

from keystone import exception
from keystone.common import provider_api
from keystone.common import utils
import keystone.conf
from oslo_utils import timeutils

from keystone_alliance import compat
from keystone_alliance import form
from keystone_alliance import grants
from keystone_alliance import guest
from keystone_alliance import ids
from keystone_alliance import leases
from keystone_alliance import staleness
from keystone_alliance.passport import Verifier
from keystone_alliance.passport import claimed_ends
from keystone_alliance.refusal import Refused
from keystone_alliance.snapshot import BEARER
from keystone_alliance.snapshot import KEYSTONE
from keystone_alliance.snapshot import PASSPORT

CONF = keystone.conf.CONF
PROVIDERS = provider_api.ProviderAPIs

# Methods of credentials that are narrower than their user, which a partner cannot honour.
_DELEGATED = frozenset(
    ['application_credential', 'ec2credential', 'oauth1', 'oauth2_credential', 'trust']
)


class Admission:
    """Decides about guests, with the daemon's signed answers and the latest snapshot."""

    def __init__(self, settings, source, daemon):
        self._settings = settings
        self._source = source
        self._daemon = daemon
        self._verifier = Verifier(settings.max_staleness, settings.clock_skew)

    def admit(self, token, tag, inner):
        """Turn a partner's token into the values of an ordinary token of its shadow user.

        :param tag: of the partner
        :param inner: the token without its tag; the token itself if it has none
        :raises Refused: it is not valid here
        :raises Indeterminate: nobody can say now
        """
        snapshot = self._source.current()
        partner = snapshot.partners.get(tag)
        if partner is None:
            raise Refused('unknown_partner')
        recognised = form.recognise(inner)
        _check_whose(partner, recognised.format, is_tagged=inner != token)
        form.check_plausible(recognised, time.time(), self._settings.clock_skew)
        self._check_partner(partner)
        if partner.login == PASSPORT:
            raise Refused('passport_only')
        ages = self._ages()
        staleness.forget(token)
        staleness.leave_earlier_request()
        asked_at, user_id, project_id, passport = self._daemon.flights.fly(
            (snapshot.generation, ids.token_sha256(token)),
            lambda: self._ask_and_admit(token, partner, ages),
        )
        staleness.remember_from(asked_at + self._settings.deadline)
        return compat.token_values(
            user_id,
            _known_methods(passport.methods),
            # One, though home may name two: what is made from this token hangs on it alone.
            [_session(partner, passport)],
            project_id,
            _keystone_time(passport.issued_at),
            _keystone_time(passport.expires_at),
        )

    def issue_passport(self, cloud, token_sha256, token, jkt):
        """Get a login passport for a user of this cloud, see ``Daemon.issue_passport``."""
        with self._daemon.place():
            return self._daemon.issue_passport(cloud, token_sha256, token, jkt)

    def log_in(self, jws, proof):
        """Let the user of a login passport in, once.

        :param jws: the passport
        :param proof: the proof of the key that it is bound to, or None
        :returns: what Keystone's auth methods say of a user who may log in
        :raises Refused: it is not valid here, or was used before
        :raises Indeterminate: nobody can say now
        """
        snapshot = self._source.current()
        issuer, audience = claimed_ends(jws)
        if audience != snapshot.cloud_id:
            raise Refused('wrong_audience', 'the passport is for another cloud')
        partner = snapshot.partners.get(ids.tag_of(issuer))
        if partner is None:
            raise Refused('unknown_partner')
        self._check_partner(partner)
        if partner.login == BEARER:
            raise Refused('bearer_only')
        with self._daemon.place():
            guest.check_objects(partner)
            answer = self._daemon.log_in(jws, proof)
        snapshot, partner = self._again(partner)
        passport = self._verifier.login(answer, partner, snapshot, time.time())
        user_id, _project_id = self._let_in(partner, passport)
        return {
            'user_id': user_id,
            'expires_at': _keystone_time(passport.expires_at),
            'audit_id': _session(partner, passport),
        }

    def confirm(self, user, project_id, token, expires_at, audit_ids, door=None):
        """Make sure that a shadow user still has a right to a token made here.

        Roles in ``project_id`` are brought to what home and agreement allow now.

        :param user: the user as Keystone's identity manager returns it
        :param project_id: project of the token, or None for an unscoped one
        :param token: the token, which the daemon remembers by its hash
        :param expires_at: when it expires, as Keystone writes it
        :param audit_ids: its audit ids; the last names the partner's token that it was made from
        :param door: what the guest got it by without a login at home, if so: a ``leases.Door``
        :raises Refused: no longer, or never
        :raises Indeterminate: nobody can say now
        """
        generation = self._source.current().generation
        partner, home_user_id = self._partner_of(user)
        self._check_partner(partner)
        staleness.leave_earlier_request()
        if project_id is None:
            if door is not None:
                raise Refused(door.reason, 'without a project')
            guest.check_objects(partner)
            return
        try:
            project = PROVIDERS.resource_api.get_project(project_id)
        except exception.ProjectNotFound:
            raise Refused('no_agreement', f'there is no project {project_id}') from None
        home_project_id = guest.home_project_id(partner, project)
        if home_project_id is None:
            raise Refused('no_agreement', f'project {project_id} is not one of the partner')
        ages = self._ages()
        derived = {
            'sha256': ids.token_sha256(token),
            'expires_at': int(timeutils.parse_isotime(expires_at).timestamp()),
            # What a guest made here belongs to no session of the partner.
            'session': audit_ids[-1] if door is None else None,
        }
        asked_at = self._daemon.flights.fly(
            (generation, user['id'], project_id, derived['sha256']),
            lambda: self._ask_and_confirm(
                partner, user, home_user_id, project, ages, derived, door
            ),
        )
        staleness.remember_from(asked_at + self._settings.deadline)

    def _ages(self):
        return staleness.ages(self._settings.max_staleness, self._settings.deadline)

    def _ask_and_admit(self, token, partner, ages):
        with self._daemon.place():
            guest.check_objects(partner)
            asked_at = time.monotonic()
            answer = self._daemon.validate(token, ages)
        snapshot, partner = self._again(partner)
        passport = self._verifier.passport(answer, partner, snapshot, token, time.time())
        user_id, project_id = self._let_in(partner, passport)
        return asked_at, user_id, project_id, passport

    def _let_in(self, partner, passport):
        """Make what the passport's user needs here; return the ids of user and project."""
        if _DELEGATED.intersection(passport.methods):
            raise Refused('delegated_method')
        agreements = _agreements_for(partner, passport.origin)
        if passport.project is None:
            return guest.shadow_user(partner, passport.user)['id'], None
        roles = self._allowed(agreements, passport.project.id)
        self._check_roles(passport.roles, roles)
        user = guest.shadow_user(partner, passport.user)
        project = guest.shadow_project(partner, passport.project)
        self._grant(user['id'], project['id'], passport.roles & roles)
        return user['id'], project['id']

    def _ask_and_confirm(self, partner, user, home_user_id, project, ages, derived, door):
        home_project_id = project['alliance_project_id']
        _roles(partner.live_agreements(time.time()), home_project_id)
        _check_door(partner, home_project_id, door)
        # Keystone's own cache counts as well.
        grace = self._source.current().guest_grace - ages.held_for if door is not None else 0
        grace = max(0, grace)
        with self._daemon.place():
            guest.check_objects(partner)
            asked_at = time.monotonic()
            answer = self._daemon.confirm(
                partner.cloud_id, home_user_id, home_project_id, ages, derived, grace
            )
        snapshot, partner = self._again(partner)
        _check_door(partner, home_project_id, door)
        statement = self._verifier.grants(
            answer, partner, snapshot, home_user_id, home_project_id, time.time(), grace
        )
        roles = self._allowed(partner.live_agreements(time.time()), home_project_id)
        self._check_roles(statement.roles, roles)
        self._grant(user['id'], project['id'], statement.roles & roles)
        return asked_at

    def _partner_of(self, user):
        """Partner and home id of a shadow user; refused if that is no longer known."""
        partner = self._source.current().partner_of_domain(user['domain_id'])
        if partner is None:
            raise Refused('unknown_partner', f'of domain {user["domain_id"]}')
        for idp_id, protocol_id, home_user_id in _identities(user):
            if (idp_id, protocol_id) == (partner.idp_id, partner.protocol_id):
                return partner, home_user_id
        raise Refused('identity_provider_disabled', f'user {user["id"]} has no home identity')

    def _again(self, partner):
        """Return snapshot and partner as they are after the question."""
        snapshot = self._source.current()
        partner = snapshot.partners.get(partner.tag)
        if partner is None:
            raise Refused('unknown_partner')
        self._check_partner(partner)
        return snapshot, partner

    def _check_partner(self, partner):
        now = time.time()
        if partner.status == 'expired' or (partner.trust_till and partner.trust_till <= now):
            raise Refused('partner_expired')
        if partner.status != 'active':
            raise Refused('partner_suspended')
        if not partner.is_guest():
            raise Refused('unknown_partner', 'its users are not expected here')
        if not partner.live_agreements(now):
            raise Refused('no_agreement')

    def _allowed(self, agreements, home_project_id):
        """Roles that agreements give and that may be given on the daemon's word."""
        roles = _roles(agreements, home_project_id)
        return roles if self._settings.grant_admin_roles else roles - self._settings.admin_roles

    def _check_roles(self, roles, allowed):
        powers = (roles & self._settings.admin_roles) - allowed
        if powers:
            raise Refused(
                'admin_role',
                f'{", ".join(sorted(powers))}: no agreement names it, or [alliance] '
                'grant_admin_roles is off',
            )

    def _grant(self, user_id, project_id, allowed):
        if not grants.reconcile(user_id, project_id, allowed):
            raise Refused('no_agreement', 'no role that passport, agreement and this cloud share')
        grants.check_power(user_id, project_id, self._settings.admin_roles, allowed)


def _check_whose(partner, token_format, is_tagged):
    """Refuse a spelling that the partner's tokens do not have: each has one only."""
    if is_tagged:
        if partner.kind == KEYSTONE:
            raise Refused('malformed', 'a tag before a token of a plain Keystone')
    elif token_format not in partner.untagged:
        raise Refused('malformed', f'untagged {token_format} tokens are not those of the partner')


def is_shadow(user):
    """Whether Keystone's user ``user`` is a guest, of a present or a former partner."""
    return any(protocol_id == guest.PROTOCOL for _idp, protocol_id, _id in _identities(user))


def _identities(user):
    for idp in user.get('federated') or []:
        for protocol in idp['protocols']:
            yield idp['idp_id'], protocol['protocol_id'], protocol['unique_id']


def _session(partner, passport):
    """The audit id of a partner's token here: what is made from it hangs on it."""
    return ids.audit_id(partner.cloud_id, passport.audit_ids[0])


def _agreements_for(partner, origin):
    agreements = partner.live_agreements(time.time())
    if origin == partner.cloud_id:
        return agreements
    agreements = [agreement for agreement in agreements if agreement.transitive]
    if not agreements:
        raise Refused('transitive', f'the token comes from cloud {origin}')
    return agreements


def _roles(agreements, home_project_id):
    """Names of the roles that ``agreements`` give to a home project."""
    roles = frozenset().union(*(item.roles for item in agreements if item.covers(home_project_id)))
    if not roles:
        raise Refused('no_agreement', f'for home project {home_project_id}')
    return roles


def _check_door(partner, home_project_id, door):
    if door is not None and not leases.allows(partner, home_project_id, door):
        raise Refused(door.reason, f'no agreement allows {door.name}')


def _known_methods(methods):
    """Those of ``methods`` that this Keystone can write into a derived token; at least one.

    A passcode is left out: in a token of this cloud it means one of a secret that was made here.
    """
    possible = [method for method in CONF.auth.methods if method != 'totp']
    known = [method for method in dict.fromkeys(methods) if method in possible]
    return known or ['token']


def _keystone_time(text):
    return utils.isotime(timeutils.normalize_time(timeutils.parse_isotime(text)), subsecond=True)
