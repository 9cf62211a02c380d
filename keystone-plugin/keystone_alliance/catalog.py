"""Catalog driver that shows partner regions after the local ones, to those entitled to them.

It calls nobody: all it knows is in the snapshot. Nothing is written into the catalog's tables.
The daemon is told, by a datagram, when an operator has changed what partners see: a service or an
endpoint. Of a region they see its id alone, which never changes, and Keystone deletes none that has
endpoints.
"""

import copy
import re
import time

from keystone import exception
from keystone.catalog.backends import sql
from keystone.common import provider_api
import keystone.conf

from keystone_alliance import ids
from keystone_alliance import options
from keystone_alliance import poke
from keystone_alliance import snapshot

CONF = keystone.conf.CONF
PROVIDERS = provider_api.ProviderAPIs

_PROJECT = re.compile(r'[%$]\((?:project|tenant)_id\)s')
_OTHER = re.compile(r'[%$]\(')


class Catalog(sql.Catalog):
    """``[catalog] driver = alliance``."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        settings = options.load(CONF)
        self._admin_roles = settings.admin_roles
        self._source = snapshot.source(settings.snapshot)

    def create_service(self, service_id, service_ref):
        """Make a service."""
        return _told(super().create_service(service_id, service_ref))

    def update_service(self, service_id, service_ref):
        """Change a service."""
        return _told(super().update_service(service_id, service_ref))

    def delete_service(self, service_id):
        """Delete a service with its endpoints."""
        return _told(super().delete_service(service_id))

    def create_endpoint(self, endpoint_id, endpoint):
        """Make an endpoint."""
        return _told(super().create_endpoint(endpoint_id, endpoint))

    def update_endpoint(self, endpoint_id, endpoint_ref):
        """Change an endpoint."""
        return _told(super().update_endpoint(endpoint_id, endpoint_ref))

    def delete_endpoint(self, endpoint_id):
        """Delete an endpoint."""
        return _told(super().delete_endpoint(endpoint_id))

    def get_v3_catalog(self, user_id, project_id):
        """Return the local catalog, with partner regions behind it where there is an agreement.

        As endpoints of further regions do, those of partners stand in the entry of the local
        service of their type, if there is one: some clients look at a type's first entry only.
        """
        local = super().get_v3_catalog(user_id, project_id)
        current = self._source.current()
        if project_id is None or current.regions.is_empty():
            return local
        shown = _shown(current, project_id)
        if not shown or self._is_admin(user_id, project_id):
            return local
        entries = {entry['type']: entry for entry in reversed(local)}
        further = []
        for tag, id_there, types in shown:
            for entry in _resolve(current, tag, id_there, types):
                if entry['type'] in entries:
                    entries[entry['type']]['endpoints'] += entry['endpoints']
                else:
                    entries[entry['type']] = entry
                    further.append(entry)
        return local + further

    def _is_admin(self, user_id, project_id):
        roles = PROVIDERS.assignment_api.get_roles_for_user_and_project(user_id, project_id)
        return any(
            PROVIDERS.role_api.get_role(role_id)['name'] in self._admin_roles for role_id in roles
        )


def _told(stored):
    """Whatever the driver has stored: the daemon hears that there is something."""
    poke.catalog()
    return stored


def _shown(current, project_id):
    """Tags of the partners that a project sees, with its id there and the service types to show."""
    regions = current.regions
    try:
        project = PROVIDERS.resource_api.get_project(project_id)
    except exception.ProjectNotFound:
        return []
    home = regions.guests.get(project['domain_id'])
    if home is not None:
        partner = _trusted(current, home)
        if partner is None or partner.domain_id != project['domain_id']:
            return []
        return [(home, project.get('alliance_project_id'), _types(regions, home, ['guests']))]
    tags = regions.projects.get(project_id, ())
    native = ['*'] if current.partner_of_domain(project['domain_id']) is None else []
    if native:
        tags += regions.all_projects
    there = ids.project_id(current.cloud_id, project_id)
    return [
        (tag, there, _types(regions, tag, [project_id, *native]))
        for tag in dict.fromkeys(tags)
        if _trusted(current, tag) is not None and current.partners[tag].is_host()
    ]


def _types(regions, tag, whom):
    shown = regions.services.get(tag, {})
    return frozenset(['identity']).union(*(shown.get(who, ()) for who in whom))


def _trusted(current, tag):
    partner = current.partners.get(tag)
    return partner if partner is not None and partner.is_trusted(time.time()) else None


def _resolve(current, tag, project_id, types):
    for service in current.regions.entries.get(tag, ()):
        if service['type'] not in types:
            continue
        endpoints = []
        for endpoint in copy.deepcopy(service['endpoints']):
            if _PROJECT.search(endpoint['url']):
                if project_id is None:
                    continue
                endpoint['url'] = _PROJECT.sub(lambda _match: project_id, endpoint['url'])
            if not _OTHER.search(endpoint['url']):
                endpoints.append(endpoint)
        if endpoints:
            yield {
                'endpoints': endpoints,
                'id': service['id'],
                'type': service['type'],
                'name': service['name'],
            }
