"""Log in at a partner cloud by passport: see ``identity.Alliance``."""

from keystoneauth1_alliance.identity import Alliance
from keystoneauth1_alliance.identity import PassportRefused

__all__ = ('Alliance', 'PassportRefused')
