"""One Keystone worker process: uses the tokens it is given, all at once, and tells the answers.

Arguments: the configuration file. Standard input: a JSON list of tokens. Prints "ready", waits for
a line, prints a JSON object with the statuses and why the plugin could not decide. Again and again.
"""

import json
import logging
import re
import sys

from keystone.common.rbac_enforcer import enforcer
import keystone_host
from test_daemon_faults import parallel


class Reasons(logging.Handler):
    """The reasons of what the plugin could not decide."""

    def __init__(self):
        super().__init__()
        self.found = []

    def emit(self, record):
        if found := re.search(r'Undecided \((\w+)\)', record.getMessage()):
            self.found.append(found[1])


def main():
    configuration = sys.argv[1]
    api = keystone_host.Api(keystone_host.start(configuration))
    # Keystone builds this on first use without a lock and answers 403 to whoever comes meanwhile,
    # whatever their token; all else stays cold.
    assert enforcer.RBACEnforcer()._enforcer
    reasons = Reasons()
    logging.getLogger('keystone_alliance').addHandler(reasons)
    while line := sys.stdin.readline():
        tokens = json.loads(line)
        print('ready', flush=True)  # noqa: T201
        sys.stdin.readline()

        def use(number, tokens=tokens):
            return number, api.get('/v3/auth/projects', tokens[number]).status_code

        used = [result for result, _seconds in parallel(len(tokens), use)] if tokens else []
        statuses = [status for _number, status in sorted(used)]
        told = {'statuses': statuses, 'undecided': reasons.found}
        print(json.dumps(told), flush=True)  # noqa: T201


main()
