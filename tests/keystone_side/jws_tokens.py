"""Keystone's own jws provider, over standard input and output: `jws_tokens.py KEYS`.

KEYS has the folders ``private`` and ``public`` of `keystone-manage create_jws_keypair`. A JSON list
a line: ``["sign", user_id, expires_at, audit_ids, methods, scope]`` is answered by a token, and
``["verify", token]`` by what Keystone reads in it, null if it refuses it.
"""

import json
import sys

import keystone.conf
from keystone import exception
from keystone.token.providers.jws.core import JWSFormatter


def main(keys):
    keystone.conf.configure()
    conf = keystone.conf.CONF
    conf([], project="keystone", default_config_files=[])
    conf.set_override("jws_private_key_repository", f"{keys}/private", "jwt_tokens")
    conf.set_override("jws_public_key_repository", f"{keys}/public", "jwt_tokens")
    jws = JWSFormatter()
    for line in sys.stdin:
        order, *arguments = json.loads(line)
        if order == "sign":
            *arguments, scope = arguments
            answer, _issued_at = jws.create_token(*arguments, **scope)
        else:
            try:
                answer = jws.validate_token(*arguments)
            except exception.TokenNotFound:
                answer = None
        print(json.dumps(answer), flush=True)


main(sys.argv[1])
