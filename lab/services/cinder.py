"""Cinder: its API, and the processes behind it. Volumes are pretended (see python/cinder)."""

from lab import databases
from lab.services import rabbitmq
from lab.services.rpc import RpcService
from lab.services.wsgi import PYTHON, WsgiService, auth_section, token_section
from lab.state import Cloud, write_secret

USER = "cinder"


class CinderApi(WsgiService):
    name = "cinder"
    part = "cinder"
    after = ("mariadb", "rabbitmq", "keystone")
    ports = ("cinder",)
    user = USER
    catalog = ("block-storage", "cinder")
    path = "/v3"
    environment_name = "services"
    module = "cinder.wsgi.api"
    probe = ("/", (300,))

    def prepare(self) -> None:
        write_secret(self.folder / "cinder.conf", configuration(self))

    def settings(self) -> dict[str, str]:
        arguments = f"--config-file\n{self.folder}/cinder.conf"
        return {**super().settings(), "LAB_ARGUMENTS": arguments}


class CinderProcess(RpcService):
    """The user is the API's."""

    part = "cinder"
    database = "cinder"
    after = ("mariadb", "rabbitmq")

    def prepare(self) -> None:
        write_secret(self.configuration, configuration(self))


class CinderScheduler(CinderProcess):
    name = "cinder-scheduler"


class CinderVolume(CinderProcess):
    name = "cinder-volume"

    def settings(self) -> dict[str, str]:
        return {**super().settings(), "PYTHONPATH": str(PYTHON / "cinder")}


def configuration(service) -> str:
    cloud: Cloud = service.cloud
    shipped = service.environment().path / "etc" / "cinder"
    return f"""\
[DEFAULT]
host = {cloud.name}-1
my_ip = 127.0.0.1
state_path = {service.folder}
api_paste_config = {shipped}/api-paste.ini
resource_query_filters_file = {shipped}/resource_filters.json
auth_strategy = keystone
transport_url = {rabbitmq.url(cloud)}
enabled_backends = fake
default_volume_type = __DEFAULT__
report_interval = 5

{rabbitmq.notifications()}
[fake]
volume_backend_name = fake
volume_driver = lab_volumes.Lab

[database]
connection = {databases.url(cloud, "cinder")}

[coordination]
backend_url = file://{service.folder}

[oslo_concurrency]
lock_path = {service.folder}

[service_user]
send_service_user_token = true
{auth_section(cloud, USER)}
[nova]
interface = internal
{auth_section(cloud, USER)}
{token_section(cloud, USER)}"""
