"""Whose a token without a tag is: by the explicit rule format → partner, never by guessing."""

import threading

from oslo_log import log

from keystone_alliance import form

LOG = log.getLogger(__name__)


class Routing:
    """Tells untagged tokens of partners that are plain Keystones from those of this cloud."""

    def __init__(self, settings, source):
        self._settings = settings
        self._source = source
        self._lock = threading.Lock()
        self._warned = None

    def partner_of(self, token):
        """Tag of the partner whose untagged token this is, or None: a matter of this cloud.

        Where no partner claims any format, the token is not even looked at.
        """
        snapshot = self._source.current()
        if not snapshot.untagged:
            return None
        ours = self._issued_here() & snapshot.untagged.keys()
        if ours:
            self._warn(snapshot, ours)
        token_format = form.looks_like(token)
        return None if token_format in ours else snapshot.untagged.get(token_format)

    def _issued_here(self):
        """Formats of which an untagged token can be this cloud's own."""
        if not self._settings.accept_untagged:
            return frozenset()
        inner = self._settings.inner_provider
        # A provider of another name may issue anything.
        return frozenset([inner]) if inner in form.FORMATS else form.FORMATS

    def _warn(self, snapshot, ours):
        with self._lock:
            if self._warned == snapshot.generation:
                return
            self._warned = snapshot.generation
        LOG.warning(
            'Untagged tokens of formats that this cloud issues itself are claimed for partners '
            '(%s). They are taken for its own. Once all its Keystone nodes have been tagging for '
            'longer than a token lives, [alliance] accept_untagged = false gives them to the '
            'partners.',
            ', '.join(
                f'{token_format} for {snapshot.partners[snapshot.untagged[token_format]].name}'
                for token_format in sorted(ours)
            ),
        )
