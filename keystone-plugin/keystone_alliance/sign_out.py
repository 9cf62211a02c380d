"""Ends partners' sessions in this Keystone, natively: by revocation events of its own."""

import datetime

from keystone import exception
from keystone.common import provider_api
from keystone.common import sql
from keystone.revoke.backends import sql as revoke_sql
from oslo_log import log

from keystone_alliance import ids
from keystone_alliance.guest import retrying

LOG = log.getLogger(__name__)
PROVIDERS = provider_api.ProviderAPIs

_AT_ONCE = 100


def end(snapshot, sessions):
    """Store events for each session that has ended, all or none.

    One ends the partner's token, the other what was made from it, whenever that was: the token is
    the first of their audit chain. The user is named too, or Keystone would read the events at each
    validation of any token.

    :param sessions: as the daemon says: ``id``, ``until``, ``cloud_id``, ``user_id``
    :returns: the number of sessions that are new
    """
    found = {}
    for session in sessions:
        user_id = _shadow_user_id(snapshot, session['cloud_id'], session['user_id'])
        if user_id is not None:
            until = datetime.datetime.fromtimestamp(session['until'], datetime.timezone.utc)
            found[session['id']] = (user_id, until.replace(tzinfo=None))
    return _store(found) if found else 0


@retrying
def _store(found):
    model = revoke_sql.RevocationEvent
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None, microsecond=0)
    chains = sorted(found)
    with sql.session_for_write() as session:
        known = set()
        for start in range(0, len(chains), _AT_ONCE):
            some = chains[start : start + _AT_ONCE]
            query = session.query(model.audit_chain_id).filter(model.audit_chain_id.in_(some))
            known.update(row[0] for row in query)
        new = [chain for chain in chains if chain not in known]
        for audit_id in new:
            user_id, until = found[audit_id]
            # What was made from the token never outlives it.
            common = {'user_id': user_id, 'issued_before': until, 'revoked_at': now}
            session.add(model(audit_id=audit_id, **common))
            session.add(model(audit_chain_id=audit_id, **common))
    return len(new)


def _shadow_user_id(snapshot, cloud_id, home_user_id):
    """Id of the shadow user; None if there is none, who could have no token then."""
    partner = snapshot.partners.get(ids.tag_of(cloud_id))
    if partner is None or partner.cloud_id != cloud_id:
        LOG.debug('A session of a partner that is none any more needs no end')
        return None
    try:
        user = PROVIDERS.shadow_users_api.get_federated_user(
            partner.idp_id, partner.protocol_id, home_user_id
        )
    except exception.UserNotFound:
        return None
    return user['id']
