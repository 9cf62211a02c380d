"""Options of the group `[lab_tokens]`."""

import keystone.conf
from oslo_config import cfg

CONF = keystone.conf.CONF
GROUP = "lab_tokens"

CONF.register_opts(
    [
        cfg.StrOpt("signing_cert", help="Certificate that signs tokens, PEM."),
        cfg.StrOpt("signing_key", help="Its private key, PEM."),
        cfg.StrOpt("ca_certs", help="Certificates of those who issued it, PEM."),
        cfg.StrOpt("folder", help="Where it is written what `uuid` tokens stand for."),
    ],
    group=GROUP,
)


def option(name):
    """What an option is set to; the Keystone that needs it does not start without it."""
    value = CONF[GROUP][name]
    if not value:
        raise SystemExit(f"[{GROUP}] {name} is not set")
    return value
