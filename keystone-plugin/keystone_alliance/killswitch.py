"""The operator's hand: a partner's identity provider disabled or deleted in Keystone.

Keystone sends no notification when an identity provider is disabled and would go on using what it
remembers of tokens. Its database layer is listened to instead.
"""

from keystone.federation.backends import sql
from oslo_log import log
from sqlalchemy import event
from sqlalchemy import orm

from keystone_alliance import staleness

LOG = log.getLogger(__name__)

_sources = []


def install(source):
    """Flush Keystone's token cache once a partner's identity provider has changed."""
    if not _sources:
        event.listen(sql.IdentityProviderModel, 'after_update', _provider_changed)
        event.listen(sql.IdentityProviderModel, 'after_delete', _provider_changed)
        event.listen(sql.FederationProtocolModel, 'after_delete', _protocol_deleted)
    if source not in _sources:
        _sources.append(source)


def _provider_changed(_mapper, _connection, provider):
    _flush_after_commit(provider, provider.id)


def _protocol_deleted(_mapper, _connection, protocol):
    _flush_after_commit(protocol, protocol.idp_id)


def _flush_after_commit(row, idp_id):
    if any(idp_id in source.current().idp_ids() for source in _sources):
        LOG.info('Identity provider %s has changed: dropping what is cached of tokens', idp_id)
        event.listen(orm.object_session(row), 'after_commit', _flush, once=True)


def _flush(_session):
    staleness.flush()
