"""``auth_type: v3alliance`` and ``v3alliancetoken``."""

from keystoneauth1 import exceptions
from keystoneauth1 import identity
from keystoneauth1 import loading

from keystoneauth1_alliance.identity import Alliance as Plugin

_USER = ('user_id', 'username', 'user_domain_id', 'user_domain_name', 'password')


class _Loader(loading.BaseV3Loader):
    """Of a login at home, and at a partner by a passport of home."""

    @property
    def plugin_class(self):
        return Plugin

    def get_options(self):
        """Options of the login at home, and the partner."""
        return [
            *super().get_options(),
            loading.Opt('partner', required=True, help='What home calls the cloud to log in at'),
            loading.Opt('partner-auth-url', help="Its Keystone, in place of home's word"),
        ]

    def create_plugin(self, **kwargs):
        """Return the plugin; ``kwargs`` are the values of the options."""
        partner = kwargs.pop('partner', None)
        partner_auth_url = kwargs.pop('partner_auth_url', None)
        if not partner:
            raise exceptions.OptionError('Say at which partner cloud to log in: partner.')
        return Plugin(self._home(kwargs), partner, partner_auth_url=partner_auth_url)


class Alliance(_Loader):
    """Log in at home with a password, and at a partner cloud by a passport of home."""

    def get_options(self):
        """Options of a login with a password, and the partner."""
        return [
            *super().get_options(),
            loading.Opt('user-id', help='User ID at home'),
            loading.Opt('username', help='Username at home', deprecated=[loading.Opt('user-name')]),
            loading.Opt('user-domain-id', help="User's domain ID at home"),
            loading.Opt('user-domain-name', help="User's domain name at home"),
            loading.Opt('password', secret=True, prompt='Password: ', help='Password at home'),
        ]

    def _home(self, options):
        user = {name: options.pop(name, None) for name in _USER}
        if not (user['user_id'] or user['username']):
            raise exceptions.OptionError('Say who you are at home: username or user_id.')
        return identity.V3Password(**user, **options)


class AllianceToken(_Loader):
    """Log in at a partner cloud by a passport of home, with a token of home."""

    def get_options(self):
        """Options of a login with a token, and the partner."""
        token = loading.Opt('token', secret=True, required=True, help='Token of home')
        return [*super().get_options(), token]

    def _home(self, options):
        if not options.get('token'):
            raise exceptions.OptionError('Give a token of home: token.')
        return identity.V3Token(**options)
