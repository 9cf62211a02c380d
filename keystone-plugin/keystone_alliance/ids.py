"""Ids that both clouds can compute, and names for tokens that may be logged."""

import base64
import hashlib
import uuid

from keystone_alliance import form

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, 'alliance.openstack')
TAG_LENGTH = 8


def domain_id(cloud_id):
    """Id of the domain that a host keeps for the users of ``cloud_id``."""
    return uuid.uuid5(NAMESPACE, 'domain:' + cloud_id).hex


def project_id(cloud_id, home_project_id):
    """Id that a host gives to a project of ``cloud_id``."""
    return uuid.uuid5(NAMESPACE, f'project:{cloud_id}:{home_project_id}').hex


def audit_id(cloud_id, home_audit_id):
    """Audit id that a host gives to a token of ``cloud_id``.

    Keystone revokes by audit ids. As home wrote it, it could be that of somebody else's session.
    """
    raw = uuid.uuid5(NAMESPACE, f'audit:{cloud_id}:{home_audit_id}').bytes
    return base64.urlsafe_b64encode(raw).rstrip(b'=').decode('ascii')


def tag_of(cloud_id):
    """First characters of a cloud id, as carried by its tokens."""
    return cloud_id[:TAG_LENGTH]


def token_sha256(token):
    """Hex SHA-256 of a whole token string, tag included."""
    return hashlib.sha256(token.encode('utf-8', 'surrogatepass')).hexdigest()


def redacted(token):
    """Tag or format, and four bytes of the hash: enough to find a token, useless to use it."""
    digest = token_sha256(token)[:8]
    tag, tilde, _inner = token.partition('~')
    if not tilde:
        return f'{form.looks_like(token) or "?"}#{digest}'
    if len(tag) != TAG_LENGTH or not tag.isascii() or not tag.isalnum():
        tag = '?'
    return f'{tag}~#{digest}'
