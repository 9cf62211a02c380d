"""Keystone's API by an entry that all its releases have."""

from keystone.server import wsgi

application = wsgi.initialize_public_application()
