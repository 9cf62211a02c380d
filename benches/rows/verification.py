"""Signed tokens, verified on the spot: what it costs beyond the signature itself."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from keystoneclient.common import cms

from benches import programs
from benches.samples import P50, Row, Series, Target, ratio
from benches.signing import Signers
from benches.stage import Stage

ROUNDS, SECONDS = 8, 0.15
FORKS = 4
TARGET, AGAINST_OPENSSL = Target(0.7, "≥"), Target(100, "≥")


def measure(stage: Stage) -> list[Row]:
    # A body of today's Keystone, with its catalog.
    token = stage.tokens(stage.guest, 1)[0]
    body = json.dumps(stage.west.ask("GET", "/auth/tokens", token, X_Subject_Token=token).json())
    with tempfile.TemporaryDirectory() as folder:
        signers = Signers(Path(folder))
        cases = {
            "pki, RSA-2048": signers.pki(body),
            "pkiz, RSA-2048": signers.pkiz(body),
            "pki, P-256": signers.pki_p256(body),
            "jws": signers.jws(body),
        }
        measured = programs.told(
            stage.programs / "inside-verification",
            *("--rounds", ROUNDS, "--seconds", SECONDS),
            stdin=[case.told() for case in cases.values()],
        )
        forked = _openssl(signers, cases["pki, RSA-2048"].token)
    rows = [
        _row(name, case, told) for (name, case), told in zip(cases.items(), measured, strict=True)
    ]
    ours = Series("verification of pki, RSA-2048", "/s", [[each] for each in measured[0]["whole"]])
    return [
        *rows,
        ratio(
            ours,
            forked,
            AGAINST_OPENSSL,
            "From the string to the content. keystoneclient.common.cms.cms_verify starts openssl "
            "for each token.",
            what="the same from the string / keystoneclient's cms_verify",
        ),
    ]


def _row(name: str, case, told: dict) -> Row:
    verified, raw, whole = (Series(what, "/s") for what in ("verified", "raw", "whole"))
    for series in (verified, raw, whole):
        for each in told[series.what]:
            series.add([each])
    from_text = ratio(whole, raw).figure
    note = (
        f"A token of {len(case.token)} bytes: {1e6 / verified.at(P50):.1f} µs of processor time "
        f"against {1e6 / raw.at(P50):.1f} µs for the signature alone by aws-lc-rs. From the "
        f"string, recognised and hashed first: {1e6 / whole.at(P50):.1f} µs, {from_text:.2f}."
    )
    return ratio(verified, raw, TARGET, note, what=f"verification of {name} / its signature")


def _openssl(signers: Signers, token: str) -> Series:
    series = Series("cms_verify", "/s")
    for _ in range(ROUNDS):
        began = time.monotonic()
        for _ in range(FORKS):
            pem = cms.token_to_cms(token)
            cms.cms_verify(pem, str(signers.certificate), str(signers.authority))
        series.add([FORKS / (time.monotonic() - began)])
    return series
