"""What the daemon last told Keystone: partners, agreements and partner regions.

The daemon replaces the file atomically; nobody is called. Whatever cannot be read or understood
counts as "no partners", so that a mistake never lets anybody in.
"""

import dataclasses
import json
import os
import re
import threading
import typing

from oslo_log import log

from keystone_alliance import form
from keystone_alliance import ids

LOG = log.getLogger(__name__)

VERSION = 1
MAX_SIZE = 64 * 1024 * 1024
EVERY_PROJECT = '*'
ALLIANCE = 'alliance'  # kind of a partner that has a daemon
BEARER = 'bearer'  # ways to log in
PASSPORT = 'passport'
KEYSTONE = 'keystone'  # kind of one that is a plain Keystone, asked by our daemon

_CLOUD_ID = re.compile(r'[a-z2-7]{52}\Z')
_RING = re.compile(r'[0-9a-f]{64}\Z')


class Unusable(ValueError):
    """The snapshot is not what this plugin understands."""


def _need(value, kind, what):
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Unusable(f'{what} is {type(value).__name__}')
    return value


def _epoch(value, what):
    if value is None:
        return None
    return float(_need(value, (int, float), what))


def _limit(value, what):
    if value is None:
        return None
    return _need(value, int, what)


def _jwks(value, what):
    return tuple(_need(key, dict, what) for key in _need(value, list, what))


@dataclasses.dataclass(frozen=True)
class Agreement:
    """What this cloud grants one project of a partner, or all of its native ones."""

    project_id: str
    roles: frozenset[str]
    till: typing.Optional[float]
    transitive: bool
    allow: frozenset[str]  # what may outlive a login, see ``leases``

    @classmethod
    def parse(cls, data):
        allow = _need(data.get('allow', []), list, 'allow of an agreement')
        roles = _need(data['roles'], list, 'roles of an agreement')
        return cls(
            project_id=_need(data['project_id'], str, 'project of an agreement'),
            roles=frozenset(_need(role, str, 'role of an agreement') for role in roles),
            till=_epoch(data.get('till'), 'till of an agreement'),
            transitive=_need(data.get('transitive', False), bool, 'transitive'),
            allow=frozenset(_need(door, str, 'allow of an agreement') for door in allow),
        )

    def is_live(self, now):
        return self.till is None or now < self.till

    def covers(self, home_project_id):
        return self.project_id in (EVERY_PROJECT, home_project_id)


@dataclasses.dataclass(frozen=True)
class Partner:
    """A cloud whose users come here or to which ours go."""

    tag: str
    cloud_id: str
    name: str
    kind: str
    attested: bool  # whether our own daemon's word about its tokens and users is believed
    untagged: frozenset[str]  # formats whose untagged tokens are its own
    login: str  # how users of the two clouds log in at the other: bearer, passport or both
    status: str
    role: str
    trust_till: typing.Optional[float]
    domain_id: str
    idp_id: str
    protocol_id: str
    keys: tuple[dict, ...]
    max_users: typing.Optional[int]
    max_projects: typing.Optional[int]
    agreements: tuple[Agreement, ...]

    @classmethod
    def parse(cls, tag, data):
        cloud_id = _need(data['cloud_id'], str, 'cloud_id')
        if not _CLOUD_ID.match(cloud_id) or ids.tag_of(cloud_id) != tag:
            raise Unusable(f'{tag} is not the tag of the cloud id beside it')
        if data['domain_id'] != ids.domain_id(cloud_id):
            raise Unusable(f'domain_id of {tag} does not follow from its cloud id')
        limits = _need(data.get('limits') or {}, dict, 'limits')
        name = _need(data['name'], str, 'name')
        role = _need(data['role'], str, 'role')
        kind = data.get('kind', ALLIANCE)
        if kind not in (ALLIANCE, KEYSTONE):
            raise Unusable(f'partner {name} is of the unknown kind {kind!r}')
        if kind == KEYSTONE and role != 'guest':
            raise Unusable(f'partner {name} is a plain Keystone and a {role}, not a guest')
        return cls(
            tag=tag,
            cloud_id=cloud_id,
            name=name,
            kind=kind,
            attested=_need(data.get('attested', False), bool, 'attested'),
            untagged=_untagged(name, kind, data.get('untagged', [])),
            login=_login(name, data.get('login', 'both')),
            status=_need(data['status'], str, 'status'),
            role=role,
            trust_till=_epoch(data.get('trust_till'), 'trust_till'),
            domain_id=data['domain_id'],
            idp_id=_need(data['idp_id'], str, 'idp_id'),
            protocol_id=_need(data['protocol_id'], str, 'protocol_id'),
            keys=_jwks(data['keys'], 'keys of a partner'),
            max_users=_limit(limits.get('users'), 'limit of users'),
            max_projects=_limit(limits.get('projects'), 'limit of projects'),
            agreements=tuple(
                Agreement.parse(item) for item in _need(data['agreements'], list, 'agreements')
            ),
        )

    def is_trusted(self, now):
        return self.status == 'active' and (self.trust_till is None or now < self.trust_till)

    def is_guest(self):
        """Whether its users may come here."""
        return self.role in ('guest', 'both')

    def is_host(self):
        """Whether our users may go there."""
        return self.role in ('host', 'both')

    def live_agreements(self, now):
        return [agreement for agreement in self.agreements if agreement.is_live(now)]

    def roles_for(self, home_project_id, now):
        """Names of the roles that live agreements allow in a project, whoever the user is."""
        roles = set()
        for agreement in self.live_agreements(now):
            if agreement.covers(home_project_id):
                roles |= agreement.roles
        return roles


def _login(name, value):
    if value not in (BEARER, PASSPORT, 'both'):
        raise Unusable(f'users of partner {name} log in by {value!r}, which is unknown')
    return value


def _untagged(name, kind, value):
    formats = frozenset(
        _need(item, str, 'untagged format') for item in _need(value, list, 'untagged formats')
    )
    if formats - form.FORMATS:
        raise Unusable(f'partner {name} issues unknown formats: {sorted(formats - form.FORMATS)}')
    if formats and kind != KEYSTONE:
        raise Unusable(f'untagged tokens are claimed for partner {name}, which tags its own')
    return formats


def _owners(partners):
    """Tag of the one partner that claims a format's untagged tokens, by format."""
    owners = {}
    for partner in partners.values():
        for token_format in sorted(partner.untagged):
            other = owners.setdefault(token_format, partner.tag)
            if other != partner.tag:
                raise Unusable(
                    f'untagged {token_format} tokens are claimed for both {partners[other].name} '
                    f'and {partner.name}'
                )
    return owners


@dataclasses.dataclass(frozen=True)
class Regions:
    """Partner regions, and who sees them."""

    projects: typing.Mapping[str, tuple[str, ...]]
    all_projects: tuple[str, ...]
    guests: typing.Mapping[str, str]
    entries: typing.Mapping[str, tuple[dict, ...]]
    services: typing.Mapping[str, typing.Mapping[str, frozenset[str]]]

    @classmethod
    def parse(cls, data):
        def strings(values, what):
            return tuple(_need(value, str, what) for value in _need(values, list, what))

        projects = _need(data.get('projects') or {}, dict, 'catalog projects')
        guests = _need(data.get('guests') or {}, dict, 'catalog guests')
        entries = _need(data.get('entries') or {}, dict, 'catalog entries')
        return cls(
            projects={key: strings(tags, 'catalog project') for key, tags in projects.items()},
            all_projects=strings(data.get('all_projects') or [], 'catalog all_projects'),
            guests={key: _need(tag, str, 'catalog guest') for key, tag in guests.items()},
            entries={
                tag: tuple(_entry(service) for service in _need(services, list, 'entries'))
                for tag, services in entries.items()
            },
            services={
                tag: {
                    who: frozenset(strings(types, 'catalog services')) for who, types in all.items()
                }
                for tag, all in _need(data['services'], dict, 'catalog services').items()
            },
        )

    def is_empty(self):
        return not (self.projects or self.all_projects or self.guests)


def _entry(service):
    _need(service, dict, 'catalog entry')
    for key in ('id', 'type', 'name'):
        _need(service[key], str, f'{key} of a catalog entry')
    for endpoint in _need(service['endpoints'], list, 'endpoints'):
        for key in ('id', 'interface', 'region', 'region_id', 'url'):
            _need(endpoint[key], str, f'{key} of an endpoint')
    return service


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """One reading of the file."""

    generation: int
    cloud_id: typing.Optional[str]
    tag: typing.Optional[str]
    keys: tuple[dict, ...]  # with which our own daemon signs attestations
    guest_grace: float  # seconds for which a silent home's word bears what its guests made here
    ring: typing.Optional[str]
    partners: typing.Mapping[str, Partner]
    untagged: typing.Mapping[str, str]  # format → tag of the partner whose untagged tokens they are
    regions: Regions

    @classmethod
    def parse(cls, data):
        _need(data, dict, 'the snapshot')
        version = data.get('version')
        if version != VERSION:
            raise Unusable(f'version {version!r}, this plugin reads version {VERSION}')
        try:
            return cls._parse(data)
        except KeyError as error:
            raise Unusable(f'{error} is missing') from error
        except (TypeError, AttributeError, OverflowError) as error:
            raise Unusable(str(error)) from error

    @classmethod
    def _parse(cls, data):
        cloud_id = _need(data['cloud']['id'], str, 'id of this cloud')
        if not _CLOUD_ID.match(cloud_id):
            raise Unusable('the id of this cloud is not a cloud id')
        ring = data.get('ring')
        if ring is not None and not _RING.match(_need(ring, str, 'ring')):
            raise Unusable('ring is not a SHA-256')
        partners = {
            tag: Partner.parse(tag, partner)
            for tag, partner in _need(data['partners'], dict, 'partners').items()
        }
        tag = ids.tag_of(cloud_id)
        if tag in partners:
            raise Unusable('a partner has the tag of this cloud')
        return cls(
            generation=_need(data['generation'], int, 'generation'),
            cloud_id=cloud_id,
            tag=tag,
            keys=_jwks(data['cloud'].get('keys', []), 'keys of this cloud'),
            guest_grace=_epoch(data['cloud'].get('guest_grace', 0), 'guest_grace'),
            ring=ring,
            partners=partners,
            untagged=_owners(partners),
            regions=Regions.parse(data['catalog']),
        )

    def partner_of_domain(self, domain_id):
        """Return the partner whose users live in ``domain_id``, or None."""
        for partner in self.partners.values():
            if partner.domain_id == domain_id:
                return partner
        return None


NOTHING = Snapshot(
    generation=-1,
    cloud_id=None,
    tag=None,
    keys=(),
    guest_grace=0,
    ring=None,
    partners={},
    untagged={},
    regions=Regions(projects={}, all_projects=(), guests={}, entries={}, services={}),
)


class Source:
    """The snapshot file, read again when it changes. Safe to use from many threads."""

    def __init__(self, path):
        self._path = path
        self._lock = threading.Lock()
        self._seen = None
        self._current = NOTHING
        self._own_tag = None

    def current(self):
        """Return the snapshot as the file is now; ``NOTHING`` if it cannot be used."""
        seen = self._stat()
        if seen != self._seen:
            with self._lock:
                if seen != self._seen:
                    self._read()
        return self._current

    def own_tag(self):
        """Tag of this cloud: of the current snapshot or else of the last one that had one."""
        return self.current().tag or self._own_tag

    def _stat(self):
        try:
            status = os.stat(self._path)
        except OSError as error:
            return error.errno
        return (status.st_mtime_ns, status.st_ino, status.st_size)

    def _read(self):
        # What is remembered as seen belongs to the file that is read, not to its name, which may
        # get a new file at any moment.
        try:
            with open(self._path, 'rb') as file:
                status = os.fstat(file.fileno())
                seen = (status.st_mtime_ns, status.st_ino, status.st_size)
                if status.st_size > MAX_SIZE:
                    raise Unusable(f'{status.st_size} bytes are too many')
                content = file.read()
        except OSError as error:
            self._adopt(error.errno, None, f'cannot be read: {error.strerror}')
            return
        except Unusable as error:
            self._adopt(seen, None, str(error))
            return
        try:
            snapshot = Snapshot.parse(json.loads(content))
        except (ValueError, RecursionError) as error:
            self._adopt(seen, None, str(error))
            return
        self._adopt(seen, snapshot, None)

    def _adopt(self, seen, snapshot, fault):
        if snapshot is None:
            LOG.error(
                'Snapshot of the alliance daemon %s: %s. There are no partners until this is '
                'mended; tokens of this cloud are not affected.',
                self._path,
                fault,
            )
            self._current = NOTHING
        else:
            LOG.info(
                'Snapshot of the alliance daemon %s: generation %d, %d partner(s)',
                self._path,
                snapshot.generation,
                len(snapshot.partners),
            )
            self._current = snapshot
            self._own_tag = snapshot.tag
        self._seen = seen


_sources = {}
_sources_lock = threading.Lock()


def source(path):
    """Return the one ``Source`` of this process for ``path``."""
    with _sources_lock:
        if path not in _sources:
            _sources[path] = Source(path)
        return _sources[path]
