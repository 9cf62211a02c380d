"""Ends partners' sessions in this Keystone, natively: by revocation events of its own."""

import collections
import datetime
import time

from keystone.common import sql
import keystone.conf
from keystone.identity.backends import sql_model as identity_sql
from keystone.revoke import core as revoke_core
from keystone.revoke.backends import sql as revoke_sql
from oslo_log import log
import sqlalchemy

from keystone_alliance import ids
from keystone_alliance.guest import retrying

CONF = keystone.conf.CONF
LOG = log.getLogger(__name__)

_AT_ONCE = 400


def end(snapshot, sessions):
    """Store events for each session that has ended, all or none.

    One ends the partner's token, the other what was made from it, whenever that was: the token is
    the first of their audit chain. The user is named too, or Keystone would read the events at each
    validation of any token.

    :param sessions: as the daemon says: ``id``, ``until``, ``cloud_id``, ``user_id``
    :returns: the number of sessions that are new
    """
    found = {}
    for cloud_id, ended in _by_cloud(sessions).items():
        partner = snapshot.partners.get(ids.tag_of(cloud_id))
        if partner is None or partner.cloud_id != cloud_id:
            LOG.debug('Sessions of a partner that is none any more need no end')
            continue
        users = _shadow_users(partner, {session['user_id'] for session in ended})
        for session in ended:
            # Who has no shadow user could have no token.
            if session['user_id'] in users:
                found[session['id']] = (users[session['user_id']], _utc(session['until']))
    new = _store(found) if found else 0
    if new:
        revoke_core.REVOKE_REGION.invalidate()
    return new


@retrying
def _store(found):
    model = revoke_sql.RevocationEvent
    now = _utc(time.time())
    rows = []
    with sql.session_for_write() as session:
        known = _known(session, found)
        new = [chain for chain in sorted(found) if known.get(chain, now.min) < found[chain][1]]
        for audit_id in new:
            user_id, until = found[audit_id]
            # What was made from the token never outlives it, nor may it outlive the events:
            # Keystone drops them as old as its own tokens grow.
            revoked_at = max(now, until - datetime.timedelta(seconds=CONF.token.expiration))
            common = {'user_id': user_id, 'issued_before': until, 'revoked_at': revoked_at}
            rows.append({'audit_id': audit_id, 'audit_chain_id': None, **common})
            rows.append({'audit_id': None, 'audit_chain_id': audit_id, **common})
        if rows:
            session.execute(sqlalchemy.insert(model.__table__), rows)
    return len(new)


def _known(session, found):
    """Until when sessions have ended by what is stored already, by their ids."""
    model = revoke_sql.RevocationEvent
    known = {}
    for chains in _parts(sorted(found)):
        users = {found[chain][0] for chain in chains}
        query = session.query(model.audit_chain_id, model.issued_before)
        query = query.filter(model.user_id.in_(users), model.audit_chain_id.in_(chains))
        for chain, until in query:
            known[chain] = max(known.get(chain, until), until)
    return known


def _shadow_users(partner, home_user_ids):
    """Ids of shadow users, by those at home."""
    model = identity_sql.FederatedUser
    with sql.session_for_read() as session:
        query = session.query(model.unique_id, model.user_id)
        query = query.filter_by(idp_id=partner.idp_id, protocol_id=partner.protocol_id)
        return {
            row[0]: row[1]
            for some in _parts(sorted(home_user_ids))
            for row in query.filter(model.unique_id.in_(some))
        }


def _by_cloud(sessions):
    found = collections.defaultdict(list)
    for session in sessions:
        found[session['cloud_id']].append(session)
    return found


def _parts(values):
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))


def _utc(epoch):
    """As Keystone's tables have times: whole seconds, without a zone."""
    moment = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
    return moment.replace(tzinfo=None)
