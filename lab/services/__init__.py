"""The services of a cloud, in the order in which they start.

A service is one file: a subclass of `Service`, and a line here.
"""

from lab.services.alliance import Alliance
from lab.services.alliance_work import AllianceWork
from lab.services.cinder import CinderApi, CinderScheduler, CinderVolume
from lab.services.glance import Glance
from lab.services.keystone import Keystone
from lab.services.mariadb import MariaDb
from lab.services.memcached import Memcached
from lab.services.neutron import Neutron
from lab.services.nova import NovaApi, NovaCompute, NovaConductor, NovaScheduler
from lab.services.placement import Placement
from lab.services.rabbitmq import RabbitMq
from lab.services.service import Service
from lab.state import Cloud

ALL: list[type[Service]] = [
    *(Memcached, MariaDb, RabbitMq, Keystone),
    *(Glance, Placement, Neutron, NovaApi, NovaConductor, NovaScheduler, NovaCompute),
    *(CinderApi, CinderScheduler, CinderVolume, Alliance, AllianceWork),
]


def services_of(cloud: Cloud) -> list[Service]:
    kinds = [kind for kind in ALL if kind.part is None or kind.part in cloud.parts]
    return [kind(cloud) for kind in kinds if cloud.alliance or kind not in (Alliance, AllianceWork)]


def workers_of(cloud: Cloud) -> list[Service]:
    """Services that have a user in Keystone. A stock cloud has the daemon's user too: a neighbour's
    daemon may work as it."""
    services = services_of(cloud)
    stranger = [] if cloud.alliance else [Alliance(cloud)]
    return [service for service in [*services, *stranger] if service.user]
