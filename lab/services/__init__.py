"""The services of a cloud, in the order in which they start.

A service is one file: a subclass of `Service`, and a line here.
"""

from lab.services.alliance import Alliance
from lab.services.glance import Glance
from lab.services.keystone import Keystone
from lab.services.memcached import Memcached
from lab.services.service import Service
from lab.state import Cloud

ALL: list[type[Service]] = [Memcached, Keystone, Glance, Alliance]


def services_of(cloud: Cloud) -> list[Service]:
    return [kind(cloud) for kind in ALL if kind is not Alliance or cloud.alliance]


def workers_of(cloud: Cloud) -> list[Service]:
    """Services that have a user in Keystone. A stock cloud has the daemon's user too: a neighbour's
    daemon may work as it."""
    return [service for service in map(lambda kind: kind(cloud), ALL) if service.user]
