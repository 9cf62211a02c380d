"""Many requests at once, on a machine that may be busy with others."""

import dataclasses
import threading
import time

from keystone_alliance import breaker
from keystone_alliance import bulkhead
from keystone_alliance import daemon

#: In seconds: long enough to tell what is kept waiting from what is never served.
PATIENCE = 60


def parallel(count, function):
    """Run ``function(number)`` in threads at once and return results in order of their end."""
    results, lock = [], threading.Lock()
    ready = threading.Barrier(count)

    def run(number):
        ready.wait()
        began = time.monotonic()
        result = function(number)
        with lock:
            results.append((result, time.monotonic() - began))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def configure(provider, settings):
    """Have the driver ``provider`` run with other options, as one that was just started."""
    admission = provider._admission
    provider._settings = provider._routing._settings = settings
    admission._settings = admission._daemon._settings = settings
    admission._daemon._reset()


def take_time(provider, setattr=setattr):
    """Have nobody be refused for being kept waiting.

    :param setattr: called as the function of Python is
    """
    setattr(breaker, 'PROBE_PATIENCE', PATIENCE)
    setattr(bulkhead, 'PROMPT', PATIENCE)
    setattr(daemon, '_FLIGHT_PATIENCE', PATIENCE)
    configure(provider, dataclasses.replace(provider._settings, deadline=PATIENCE))
