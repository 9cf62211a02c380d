"""Stands before Keystone as Apache does with mod_auth_openidc: what the identity provider said of a
user comes to Keystone in the WSGI environment. Here it is told by headers `X-Assertion-…`."""

from lab_keystone import application as keystone

_PREFIX = "HTTP_X_ASSERTION_"


def application(environ, start_response):
    for name in [name for name in environ if name.startswith(_PREFIX)]:
        environ[name.removeprefix(_PREFIX)] = environ.pop(name)
    return keystone(environ, start_response)
