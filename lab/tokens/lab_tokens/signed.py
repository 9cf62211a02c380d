"""PKI and PKIZ tokens: the answer of the login itself, signed, so that anybody can read it."""

import binascii
import json
import subprocess
import zlib

from keystone import exception
from keystone.common import utils
from keystone.common.render_token import render_token_response_from_model
from keystone.token.providers import base
from keystoneclient import exceptions as client_exceptions
from keystoneclient.common import cms

from lab_tokens import release
from lab_tokens.options import option

#: Bytes of a header line, its name and end included, at Apache and gunicorn as they come.
LONGEST_LINE = 8190
#: What else stands in that line: the longer of the two names, and Alliance's tag.
BESIDE = len("X-Subject-Token: \r\n") + len("k3v9q2xa~")
LONGEST = LONGEST_LINE - BESIDE


class TokenTooLong(exception.Error):
    code = 500
    title = "Token Too Long"
    message_format = (
        "A %(format)s token with this catalog has %(length)d bytes. Apache and gunicorn refuse a "
        "request with a header line longer than 8,190 bytes, which leaves %(longest)d for a token. "
        "%(advice)s"
    )


class Pki(base.Provider):
    """`[token] provider = pki`."""

    name = "PKI"
    advice = "PKIZ tokens ([token] provider = pkiz) are compressed; else make the catalog smaller."

    def __init__(self):
        self._certificate, self._key = option("signing_cert"), option("signing_key")
        self._authorities = option("ca_certs")

    def generate_id_and_issued_at(self, token):
        # Keystone sets this one itself only afterwards, to what is returned here.
        token.issued_at = utils.isotime(subsecond=True)
        token_id = self._sign(json.dumps(render_token_response_from_model(token)))
        if len(token_id) > LONGEST:
            raise TokenTooLong(
                format=self.name, length=len(token_id), longest=LONGEST, advice=self.advice
            )
        return token_id, token.issued_at

    def validate_token(self, token_id):
        try:
            return _values(json.loads(self._verify(token_id))["token"])
        except (
            subprocess.CalledProcessError,
            client_exceptions.CMSError,
            # openssl's status for a certificate that it cannot read, and for a token.
            client_exceptions.CertificateConfigError,
            binascii.Error,
            zlib.error,
            ValueError,
            KeyError,
        ):
            raise exception.TokenNotFound(token_id=token_id) from None

    def _sign(self, text):
        return cms.cms_sign_token(text, self._certificate, self._key)

    def _verify(self, token_id):
        return cms.verify_token(token_id, self._certificate, self._authorities)


class Pkiz(Pki):
    """`[token] provider = pkiz`."""

    name = "PKIZ"
    advice = "Make the catalog smaller."

    def _sign(self, text):
        return cms.pkiz_sign(text, self._certificate, self._key)

    def _verify(self, token_id):
        return cms.pkiz_verify(token_id, self._certificate, self._authorities)


def _values(body):
    """What Keystone wants to know of a token, from the body that it was signed with."""
    user, trust = body["user"], body.get("OS-TRUST:trust")
    federation = user.get("OS-FEDERATION")
    return release.values(
        [
            # The body of a trust's token names whom it impersonates.
            trust["trustee_user"]["id"] if trust else user["id"],
            body["methods"],
            body["audit_ids"],
            "all" if "system" in body else None,
            body.get("domain", {}).get("id"),
            body.get("project", {}).get("id"),
            trust["id"] if trust else None,
            federation["groups"] if federation else None,
            federation["identity_provider"]["id"] if federation else None,
            federation["protocol"]["id"] if federation else None,
            body.get("OS-OAUTH1", {}).get("access_token_id"),
            body.get("application_credential", {}).get("id"),
            body.get("oauth2_credential", {}).get("x5t#S256"),
            body["issued_at"],
            body["expires_at"],
        ]
    )
