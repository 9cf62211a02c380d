"""Revocation driver that tells the daemon once Keystone has stored an event."""

from keystone import notifications
import keystone.conf
from keystone.revoke.backends import sql

from keystone_alliance import poke

CONF = keystone.conf.CONF

_ACTIONS = ('disabled', 'updated', 'deleted')
_RESOURCES = ('project', 'domain')


class Revoke(sql.Revoke):
    """``[revoke] driver = alliance``."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # Nothing but the list of all events is remembered by it, which is asked for by the daemon
        # alone, each time in another way. Where it is long, memcached refuses it, and Keystone
        # answers 500.
        CONF.set_default('caching', False, group='revoke')
        # Keystone stores no event when a project or a domain is disabled or enabled.
        for action in _ACTIONS:
            for resource in _RESOURCES:
                notifications.register_event_callback(
                    getattr(notifications.ACTIONS, action), resource, _changed
                )

    def revoke(self, event):
        """Store an event."""
        super().revoke(event)
        poke.revoked(event.to_dict())


def _changed(_service, _resource_type, _operation, _payload):
    poke.stored()
