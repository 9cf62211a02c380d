"""``auth_type: v3alliance``."""

from keystoneauth1 import exceptions
from keystoneauth1 import identity
from keystoneauth1 import loading

from keystoneauth1_alliance.identity import Alliance as Plugin

_USER = ('user_id', 'username', 'user_domain_id', 'user_domain_name', 'password')


class Alliance(loading.BaseV3Loader):
    """Log in at a partner cloud by a passport of home."""

    @property
    def plugin_class(self):
        return Plugin

    def get_options(self):
        """Options of a login at home, by password or token, and the partner."""
        return [
            *super().get_options(),
            loading.Opt('user-id', help='User ID at home'),
            loading.Opt('username', help='Username at home', deprecated=[loading.Opt('user-name')]),
            loading.Opt('user-domain-id', help="User's domain ID at home"),
            loading.Opt('user-domain-name', help="User's domain name at home"),
            loading.Opt('password', secret=True, prompt='Password: ', help='Password at home'),
            loading.Opt('token', secret=True, help='Token of home, in place of user and password'),
            loading.Opt('partner', required=True, help='What home calls the cloud to log in at'),
            loading.Opt('partner-auth-url', help="Its Keystone, in place of home's word"),
        ]

    def create_plugin(self, **kwargs):
        """Return the plugin; ``kwargs`` are the values of the options."""
        partner = kwargs.pop('partner', None)
        partner_auth_url = kwargs.pop('partner_auth_url', None)
        if not partner:
            raise exceptions.OptionError('Say at which partner cloud to log in: partner.')
        user = {name: kwargs.pop(name, None) for name in _USER}
        token = kwargs.pop('token', None)
        if token:
            home = identity.V3Token(token=token, **kwargs)
        elif user['user_id'] or user['username']:
            home = identity.V3Password(**user, **kwargs)
        else:
            raise exceptions.OptionError('Say who you are at home: username, user_id or token.')
        return Plugin(home, partner, partner_auth_url=partner_auth_url)
