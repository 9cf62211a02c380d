"""A real Keystone in this process, the one that the plugin's tests start, with our providers."""

import sys
import warnings
from pathlib import Path

import pytest

warnings.filterwarnings("ignore")
ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "lab" / "tokens"), str(ROOT / "keystone-plugin" / "tests")]

import keystone_host  # noqa: E402
from lab_tokens import opaque, options, signed  # noqa: E402

from lab.keys import PkiKeys  # noqa: E402

PROVIDERS = keystone_host.PROVIDERS


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("keystone")


@pytest.fixture(scope="session")
def pki_keys(folder):
    keys = PkiKeys(folder / "pki")
    keys.ensure()
    return keys


@pytest.fixture(scope="session")
def keystone(folder, pki_keys):
    keystone_host.make_keys(folder)
    configuration = keystone_host.write_configuration(
        folder,
        0,
        cache={"backend": "dogpile.cache.memory"},
        token={"provider": "fernet"},
        driver="sql",
        lab_tokens={
            "signing_cert": pki_keys.certificates,
            "signing_key": pki_keys.key,
            "ca_certs": pki_keys.authority,
            "folder": folder / "uuid-tokens",
        },
    )
    application = keystone_host.start(configuration)
    keystone_host.make_database()
    return keystone_host.Api(application)


@pytest.fixture(params=["uuid", "pki", "pkiz"])
def name(request):
    return request.param


@pytest.fixture
def api(keystone, name, monkeypatch):
    """Keystone with the provider `name`, new, as in another worker."""
    kinds = {"uuid": opaque.Uuid, "pki": signed.Pki, "pkiz": signed.Pkiz}
    monkeypatch.setattr(PROVIDERS.token_provider_api, "driver", kinds[name]())
    return keystone


@pytest.fixture
def settings(monkeypatch):
    return options.CONF[options.GROUP]
