"""One Keystone worker process: uses the tokens it is given, all at once, and tells the answers.

Arguments: the configuration file. Standard input: a JSON list of tokens. Prints "ready", waits for
a line, prints a JSON list of the statuses.
"""

import json
import sys

from at_once import parallel
from at_once import take_time
from keystone.common.rbac_enforcer import enforcer
import keystone_host


def main():
    configuration = sys.argv[1]
    api = keystone_host.Api(keystone_host.start(configuration))
    # Keystone builds this on first use without a lock and answers 403 to whoever comes meanwhile,
    # whatever their token; all else stays cold.
    assert enforcer.RBACEnforcer()._enforcer
    take_time(keystone_host.PROVIDERS.token_provider_api.driver)
    tokens = json.loads(sys.stdin.readline())
    print('ready', flush=True)  # noqa: T201
    sys.stdin.readline()
    answers = parallel(
        len(tokens), lambda number: api.get('/v3/auth/projects', tokens[number]).status_code
    )
    print(json.dumps([status for status, _seconds in answers]), flush=True)  # noqa: T201


main()
