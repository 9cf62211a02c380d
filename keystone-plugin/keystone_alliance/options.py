"""Options of the ``[alliance]`` group, and what follows from them."""

import dataclasses
import os
import pwd

from oslo_config import cfg
from oslo_log import log

LOG = log.getLogger(__name__)

GROUP = 'alliance'

OPTS = [
    cfg.StrOpt(
        'inner_provider',
        default='fernet',
        help="""
Token provider that makes and validates the tokens of this cloud itself: an
entry point of the `keystone.token.provider` namespace. Set it to what
`[token] provider` was before `alliance` was installed. `fernet` and `jws` are
supported. Providers of the retired formats `uuid`, `pki` and `pkiz` load as
well and are for labs only.
""",
    ),
    cfg.StrOpt(
        'socket',
        default='/run/alliance/delegate.sock',
        help="""
Unix socket of the alliance daemon: `[delegate] socket` of its configuration
file. Change both together.
""",
    ),
    cfg.StrOpt(
        'snapshot',
        default='/var/lib/alliance/keystone.json',
        help="""
File in which the alliance daemon tells Keystone about partners, agreements
and partner regions: `keystone.json` in the daemon's `[cloud] state_dir`.
Keystone reads it again whenever it changes. While it is missing or cannot be
read there are no partners; tokens of this cloud are not affected.
""",
    ),
    cfg.ListOpt(
        'socket_owners',
        default=[],
        help="""
Users (names or numeric ids) that may own the daemon's socket, besides root and
the user that Keystone runs as. Name the daemon's user here when it has one of
its own. A socket of anybody else is not spoken to.
""",
    ),
    cfg.BoolOpt(
        'tag_tokens',
        default=False,
        help="""
Whether tokens issued here carry the tag of this cloud, without which no
partner can tell whose they are. Turn it on after every Keystone node of this
cloud has the plugin (all of them accept tagged tokens), turn it off one token
lifetime before the plugin is taken out.
""",
    ),
    cfg.BoolOpt(
        'accept_untagged',
        default=True,
        help="""
Whether tokens without a tag are accepted as tokens of this cloud. Set it to
false when all nodes have been tagging for longer than a token lives, so that
a token has one spelling only. While it is true, untagged tokens of the format
of `inner_provider` are this cloud's own, also where a partner that is a plain
Keystone issues the same format.
""",
    ),
    cfg.IntOpt(
        'worker_threads',
        default=4,
        min=1,
        help="""
Threads that each Keystone worker process serves requests with. At most a
quarter of them, but at least one, asks the alliance daemon at the same time.
Set it to the number that your WSGI server is started with.
""",
    ),
    cfg.FloatOpt(
        'deadline',
        default=2.0,
        min=0.1,
        max=30.0,
        help="""
Seconds that one question to the alliance daemon may take altogether. Raise it
only if a partner's Keystone is known to answer more slowly; a thread waits
that long when the daemon hangs.
""",
    ),
    cfg.IntOpt(
        'max_staleness',
        default=60,
        min=0,
        help="""
Seconds after which a partner's word about a token or about the roles of its
user must have been asked for anew, Keystone's own token cache included.
`[token] cache_time` is set to 5 seconds less when it is unset; when it is set
to more than this, tokens of partners are refused. Lower it to notice lost roles sooner, at the
price of more questions to the partners.
""",
    ),
    cfg.IntOpt(
        'clock_skew',
        default=60,
        min=0,
        max=600,
        help="""
Seconds by which the clocks of two clouds may differ. Change it only while
clocks cannot be synchronised.
""",
    ),
    cfg.ListOpt(
        'admin_roles',
        default=['admin'],
        help="""
Roles that administer this cloud. A partner's user never gets one unless the
agreement names it, and users that hold one see no partner regions. Add the
names of further roles to which your policies give such power.
""",
    ),
    cfg.BoolOpt(
        'grant_admin_roles',
        default=False,
        help="""
Whether a partner's user may get a role of `admin_roles` at all, where an
agreement names it. Agreements reach Keystone through the daemon, which faces
the Internet: off, whoever breaks into the daemon is still no administrator
here. Switch it on only for such an agreement.
""",
    ),
]


def list_opts():
    """Options for ``oslo-config-generator --namespace keystone_alliance``."""
    return [(GROUP, OPTS)]


@dataclasses.dataclass(frozen=True)
class Settings:
    """The options in the form in which they are used, read once per process."""

    inner_provider: str
    socket: str
    snapshot: str
    socket_owners: frozenset[int]
    tag_tokens: bool
    accept_untagged: bool
    askers: int
    deadline: float
    max_staleness: int
    clock_skew: int
    admin_roles: frozenset[str]
    grant_admin_roles: bool


def _uid(owner):
    if owner.isdigit():
        return int(owner)
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError:
        LOG.error('[alliance] socket_owners names %s, which is not a user of this host', owner)
        return None


def load(conf):
    """Register the options on ``conf`` and return what they are set to."""
    conf.register_opts(OPTS, group=GROUP)
    group = conf[GROUP]
    owners = {0, os.geteuid()} | {_uid(owner) for owner in group.socket_owners}
    return Settings(
        inner_provider=group.inner_provider,
        socket=group.socket,
        snapshot=group.snapshot,
        socket_owners=frozenset(owners - {None}),
        tag_tokens=group.tag_tokens,
        accept_untagged=group.accept_untagged,
        askers=max(1, group.worker_threads // 4),
        deadline=group.deadline,
        max_staleness=group.max_staleness,
        clock_skew=group.clock_skew,
        admin_roles=frozenset(group.admin_roles),
        grant_admin_roles=group.grant_admin_roles,
    )
