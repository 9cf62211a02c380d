"""Nova: its API, and the processes behind it. Servers are pretended by its fake driver."""

from lab import databases
from lab.services import rabbitmq
from lab.services.mariadb import ask
from lab.services.rpc import RpcService
from lab.services.wsgi import WsgiService, auth_section, token_section
from lab.state import Cloud, write_secret

USER = "nova"


class NovaApi(WsgiService):
    name = "nova"
    part = "nova"
    after = ("mariadb", "rabbitmq", "keystone")
    ports = ("nova",)
    user = USER
    catalog = ("compute", "nova")
    path = "/v2.1"
    environment_name = "services"
    module = "nova.wsgi.osapi_compute"
    threads = 8
    probe = ("/", (200,))

    def prepare(self) -> None:
        write_secret(self.folder / "nova.conf", configuration(self, with_databases=True))

    def settings(self) -> dict[str, str]:
        paste = self.environment().path / "etc" / "nova" / "api-paste.ini"
        files = f"{paste};{self.folder}/nova.conf"
        return {**super().settings(), "OS_NOVA_CONFIG_FILES": files}


class NovaProcess(RpcService):
    """The user is the API's."""

    part = "nova"
    database = "nova"
    said_at = "last_seen_up"
    #: What computes has no access to the databases.
    with_databases = True

    def prepare(self) -> None:
        write_secret(self.configuration, configuration(self, self.with_databases))


class NovaConductor(NovaProcess):
    name = "nova-conductor"
    # It logs in at once.
    after = ("mariadb", "rabbitmq", "keystone")


class NovaScheduler(NovaProcess):
    name = "nova-scheduler"
    # It logs in at once.
    after = ("mariadb", "rabbitmq", "keystone")


class NovaCompute(NovaProcess):
    name = "nova-compute"
    # Without a conductor it waits 10 s for one.
    after = ("nova-conductor", "placement", "neutron", "glance")
    with_databases = False

    def healthy(self) -> bool:
        if not super().healthy():
            return False
        # The scheduler finds it.
        known = "nova_api.host_mappings JOIN nova.compute_nodes USING (host) WHERE deleted = 0"
        return ask(self.cloud, f"SELECT COUNT(*) FROM {known}").strip() != "0"


def configuration(service, with_databases: bool) -> str:
    cloud: Cloud = service.cloud
    login = auth_section(cloud, USER)
    sections = ""
    if with_databases:
        sections = f"""\
[api_database]
connection = {databases.url(cloud, "nova_api")}

[database]
connection = {databases.url(cloud, "nova")}
"""
    return f"""\
[DEFAULT]
host = {cloud.name}-1
my_ip = 127.0.0.1
state_path = {service.folder}
transport_url = {rabbitmq.url(cloud)}
compute_driver = fake.FakeDriverWithoutFakeNodes
enabled_apis = osapi_compute
report_interval = 5
periodic_fuzzy_delay = 0

{sections}
{rabbitmq.notifications()}
[api]
auth_strategy = keystone

[conductor]
workers = 1

[scheduler]
workers = 1
discover_hosts_in_cells_interval = 3

[vnc]
enabled = false

[oslo_concurrency]
lock_path = {service.folder}

[service_user]
send_service_user_token = true
{login}
[glance]
region_name = {cloud.name}
valid_interfaces = internal

[cinder]
os_region_name = {cloud.name}
catalog_info = block-storage:cinder:internalURL
{login}
[neutron]
valid_interfaces = internal
{login}
[placement]
valid_interfaces = internal
{login}
{token_section(cloud, USER)}"""
