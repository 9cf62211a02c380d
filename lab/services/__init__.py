"""The services of a cloud, in the order in which they start.

A service is one file: a subclass of `Service`, and a line here.
"""

from lab.errors import LabError
from lab.services.alliance import Alliance
from lab.services.alliance_work import AllianceWork
from lab.services.cinder import CinderApi, CinderScheduler, CinderVolume
from lab.services.database import Database
from lab.services.glance import Glance
from lab.services.haproxy import HaProxy
from lab.services.keystone import Keystone
from lab.services.mariadb import MariaDb, MariaDbNode, nodes_of
from lab.services.memcached import Memcached
from lab.services.neutron import Neutron
from lab.services.node import NodeService
from lab.services.nova import NovaApi, NovaCompute, NovaConductor, NovaScheduler
from lab.services.placement import Placement
from lab.services.rabbitmq import RabbitMq
from lab.services.service import Service
from lab.state import Cloud

ALL: list[type[Service]] = [
    *(Memcached, MariaDb, MariaDbNode, Database, RabbitMq, Keystone, HaProxy),
    *(Glance, Placement, Neutron, NovaApi, NovaConductor, NovaScheduler, NovaCompute),
    *(CinderApi, CinderScheduler, CinderVolume, Alliance, AllianceWork),
]


def services_of(cloud: Cloud) -> list[Service]:
    services: list[Service] = []
    for kind in ALL:
        if kind.part not in (None, *cloud.parts):
            continue
        if kind in (Alliance, AllianceWork) and not cloud.alliance:
            continue
        if kind is MariaDbNode:
            services += nodes_of(cloud)
        elif kind is MariaDb and "cluster" in cloud.parts:
            continue
        elif issubclass(kind, NodeService):
            services += [kind(cloud, node) for node in cloud.nodes]
        else:
            services.append(kind(cloud))
    return services


def named(cloud: Cloud, name: str) -> list[Service]:
    """The service of that name; those of all nodes where the name says no node."""
    services = services_of(cloud)
    found = [one for one in services if name in (one.name, type(one).name)]
    if not found:
        known = ", ".join(one.name for one in services)
        raise LabError(f"no service {name!r} at {cloud.name}: it has {known}")
    return found


def workers_of(cloud: Cloud) -> list[Service]:
    """Services that have a user in Keystone. A stock cloud has the daemon's user too: a neighbour's
    daemon may work as it."""
    services = services_of(cloud)
    stranger = [] if cloud.alliance else [Alliance(cloud)]
    return [service for service in [*services, *stranger] if service.user]
