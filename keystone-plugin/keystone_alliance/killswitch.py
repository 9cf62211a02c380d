"""The operator's hand: a partner's identity provider or domain disabled or deleted in Keystone.

Keystone sends no notification when an identity provider is disabled and would go on using what it
remembers of tokens. Its database layer is listened to instead. The daemon is told, so that the
caches of other services forget the tokens too.
"""

from keystone import notifications
from keystone.federation.backends import sql
from oslo_log import log
from sqlalchemy import event
from sqlalchemy import orm

from keystone_alliance import staleness

LOG = log.getLogger(__name__)

_watched = []  # pairs of a snapshot's source and its daemon


def install(source, daemon):
    """Flush Keystone's token cache once a partner's identity provider has changed."""
    if not _watched:
        event.listen(sql.IdentityProviderModel, 'after_update', _provider_changed)
        event.listen(sql.IdentityProviderModel, 'after_delete', _provider_changed)
        event.listen(sql.FederationProtocolModel, 'after_delete', _protocol_deleted)
        for action in (notifications.ACTIONS.disabled, notifications.ACTIONS.deleted):
            notifications.register_event_callback(action, 'domain', _domain_ended)
    if (source, daemon) not in _watched:
        _watched.append((source, daemon))


def _provider_changed(_mapper, _connection, provider):
    _flush_after_commit(provider, provider.id)


def _protocol_deleted(_mapper, _connection, protocol):
    _flush_after_commit(protocol, protocol.idp_id)


def _flush_after_commit(row, idp_id):
    concerned = [
        (daemon, partner.domain_id)
        for source, daemon in _watched
        for partner in source.current().partners.values()
        if partner.idp_id == idp_id
    ]
    if not concerned:
        return

    def flush(_session):
        staleness.flush()
        for daemon, domain_id in concerned:
            daemon.sweep(domain_id)

    LOG.info('Identity provider %s has changed: dropping what is cached of tokens', idp_id)
    event.listen(orm.object_session(row), 'after_commit', flush, once=True)


def _domain_ended(_service, _resource_type, _operation, payload):
    """Keystone has dropped its own cache by now."""
    domain_id = payload['resource_info']
    for source, daemon in _watched:
        if source.current().partner_of_domain(domain_id):
            daemon.sweep(domain_id)
