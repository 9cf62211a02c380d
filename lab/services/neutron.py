"""Neutron's API, without agents: ports are bound and active at once (see python/neutron)."""

from lab import databases
from lab.services import rabbitmq
from lab.services.wsgi import PYTHON, WsgiService, auth_section, token_section
from lab.state import write_secret


class Neutron(WsgiService):
    name = "neutron"
    part = "neutron"
    after = ("mariadb", "rabbitmq", "keystone")
    ports = ("neutron",)
    user = "neutron"
    catalog = ("network", "neutron")
    environment_name = "services"
    module = "neutron.wsgi.api"
    threads = 8
    probe = ("/", (200,))

    def prepare(self) -> None:
        write_secret(self.folder / "neutron.conf", self._configuration())

    def python_path(self) -> list:
        return [*super().python_path(), PYTHON / "neutron"]

    def settings(self) -> dict[str, str]:
        return {
            **super().settings(),
            "OS_NEUTRON_CONFIG_DIR": str(self.folder),
            "OS_NEUTRON_CONFIG_FILES": "neutron.conf",
        }

    def _configuration(self) -> str:
        cloud = self.cloud
        return f"""\
[DEFAULT]
state_path = {self.folder}
api_paste_config = {self.environment().path}/etc/neutron/api-paste.ini
core_plugin = ml2
service_plugins = router,auto_allocate
auth_strategy = keystone
transport_url = {rabbitmq.url(cloud)}

{rabbitmq.notifications()}
[database]
connection = {databases.url(cloud, "neutron")}

[oslo_concurrency]
lock_path = {self.folder}

[nova]
endpoint_type = internal
{auth_section(cloud, self.user)}
[ml2]
type_drivers = flat,vxlan
tenant_network_types = vxlan
mechanism_drivers = lab
extension_drivers = port_security

[ml2_type_vxlan]
vni_ranges = 1:10000

[ml2_type_flat]
flat_networks = *

{token_section(cloud, self.user)}"""
