"""Keystone's token cache, kept from answering for partners longer than promised.

``Manager._validate_token`` is memoized for ``[token] cache_time``. Four things would stretch that:

* an unset ``cache_time`` means ten minutes;
* while a memoized value is made anew, or cannot be, dogpile hands out the expired one;
* Keystone's per-request cache outlives its request in the thread that served it, up to the
  authentication of the thread's next request, and remembers there which generation of the cache
  region is current: a flush of the region is missed once per thread;
* the time counts from when Keystone has an entry ready, which a slow database puts off.
"""

import threading
import time
import typing

from dogpile.cache import api
from dogpile.cache import proxy
import dogpile.util
import flask
from keystone.common import cache
from keystone.common import provider_api
import keystone.conf
from keystone.token import provider as token_provider
from oslo_context import context as oslo_context
from oslo_log import log

from keystone_alliance.refusal import Refused

CONF = keystone.conf.CONF
LOG = log.getLogger(__name__)
PROVIDERS = provider_api.ProviderAPIs

_ONE_REQUEST = 0.02  # seconds in which a thread takes the region's generation for current
_LOOK = 0.05
_LEFT = 5  # seconds of the promise that are not Keystone's

_thread = threading.local()


class Ages(typing.NamedTuple):
    """What the daemon must know to answer no more than can be vouched for."""

    max_age: float  # seconds since the home cloud said so that an answer may be old
    held_for: float  # seconds for which it may be used from when it was asked for


def bound_cache_time(max_staleness):
    """Give ``[token] cache_time`` a default that keeps the promise.

    A little is left for the daemon's answer: a worker that missed what another one has just stored
    gets the same answer again, and the partner is not asked twice.
    """
    if CONF.token.cache_time is None:
        default = max_staleness - _LEFT if max_staleness > 2 * _LEFT else max_staleness
        CONF.set_default('cache_time', default, group='token')


def ages(max_staleness, deadline):
    """Work out how old an answer may be so that it is not too old when its cache entry ends.

    :param deadline: seconds that may pass from the question until Keystone has stored the answer
    :raises Refused: if Keystone's cache alone takes longer
    """
    if not CONF.cache.enabled or not (CONF.token.caching or CONF.token.cache_on_issue):
        return Ages(max_age=max_staleness, held_for=deadline)
    cache_time = CONF.token.cache_time
    if cache_time is None:
        cache_time = CONF.cache.expiration_time
    if cache_time > max_staleness:
        LOG.error(
            'Tokens of partners are refused: Keystone would remember them for [token] cache_time '
            '= %d seconds, longer than [alliance] max_staleness = %d. Lower the first (or leave '
            'it unset) or raise the second.',
            cache_time,
            max_staleness,
        )
        raise Refused('misconfigured', '[token] cache_time is above [alliance] max_staleness')
    return Ages(
        max_age=max(0, max_staleness - cache_time - deadline), held_for=cache_time + deadline
    )


def remember_from(moment):
    """Have Keystone's cache time of the token that this thread is at begin by then at the latest.

    :param moment: on the monotonic clock, or None: it begins when the token is ready
    """
    _thread.begins = moment


def forget(token):
    """Drop what Keystone remembers of a token, so that it cannot be used while we ask anew."""
    PROVIDERS.token_provider_api._validate_token.invalidate(None, token)


def flush():
    """Drop what Keystone remembers of all tokens, in all workers."""
    token_provider.TOKENS_REGION.invalidate()


def leave_earlier_request():
    """Where no flask request is under way, start without an earlier request's leftovers."""
    if not flask.has_request_context():
        oslo_context.RequestContext(overwrite=True)


def install(is_stuck):
    """Wrap the cache regions of Keystone's tokens; to be called once they are configured.

    :param is_stuck: tells whether the daemon keeps a question waiting
    """
    _PatientMutex.is_stuck = staticmethod(is_stuck)
    _wrap(token_provider.TOKENS_REGION, _PunctualRegion)
    _wrap(cache.CACHE_INVALIDATION_REGION, _CurrentGeneration)


def _wrap(region, proxy_class):
    if not region.is_configured:
        return
    backend = region.backend
    while isinstance(backend, proxy.ProxyBackend):
        if isinstance(backend, proxy_class):
            return
        backend = backend.proxied
    region.wrap(proxy_class)


class _PunctualRegion(proxy.ProxyBackend):
    """Counts the age of what is remembered as promised; lets no thread wait for a hung daemon."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._mutexes = dogpile.util.NameRegistry(_PatientMutex)

    def get_mutex(self, key):
        return self.proxied.get_mutex(key) or self._mutexes.get(key)

    def set(self, key, value):
        value.metadata['ct'] -= _lateness()
        self.proxied.set(key, value)

    def set_serialized(self, key, value):
        # The age is inside by now: what was late is not remembered.
        if not _lateness():
            self.proxied.set_serialized(key, value)


def _lateness():
    """Seconds since the cache time of this thread's token should have begun; told once."""
    begins = getattr(_thread, 'begins', None)
    _thread.begins = None
    return 0 if begins is None else max(0, time.monotonic() - begins)


class _PatientMutex(api.CacheMutex):
    """A lock that is given up, not held for ever, when the daemon is stuck.

    Who gives up goes on without it and is refused by the bulkhead.
    """

    is_stuck = staticmethod(lambda: False)

    def __init__(self, _key):
        self._lock = threading.Lock()
        self._holder = None

    def acquire(self, wait=True):
        if not wait:
            return self._hold(self._lock.acquire(blocking=False))
        while not self._hold(self._lock.acquire(timeout=_LOOK)):
            if self.is_stuck():
                return True
        return True

    def release(self):
        if self._holder == threading.get_ident():
            self._holder = None
            self._lock.release()

    def locked(self):
        return self._lock.locked()

    def _hold(self, acquired):
        if acquired:
            self._holder = threading.get_ident()
        return acquired


class _CurrentGeneration(proxy.ProxyBackend):
    """Reads the generation of the token region from the cache, not from an earlier request."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._thread = threading.local()
        self._key = None

    def get(self, key):
        if not flask.has_request_context() and key == self._tokens_key():
            now = time.monotonic()
            if now - getattr(self._thread, 'read_at', -1.0) > _ONE_REQUEST:
                self._thread.read_at = now
                _forget_locally(self.proxied, key)
        return self.proxied.get(key)

    def _tokens_key(self):
        if self._key is None:
            region = cache.CACHE_INVALIDATION_REGION
            name = cache.RegionInvalidationManager.REGION_KEY_PREFIX
            name += token_provider.TOKENS_REGION.name
            self._key = region.key_mangler(name) if region.key_mangler else name
        return self._key


def _forget_locally(backend, key):
    while isinstance(backend, proxy.ProxyBackend):
        if hasattr(backend, '_delete_local_cache'):
            backend._delete_local_cache(key)
        backend = backend.proxied
