"""The rows of the table, in the order in which they are measured.

`again` comes late: what `first` used must have left Keystone's cache by then. After `signed`,
tokens that west issued before count nowhere; the last three have clouds of their own.
"""

from benches.rows import (
    again,
    answer,
    border,
    crowd,
    crowded,
    first,
    halted,
    instances,
    issue,
    junk,
    many,
    provision,
    remembered,
    revocations,
    server,
    sign_out,
    signed,
    start,
    usage,
    verification,
    warm,
)

ALL = {
    "warm": warm.measure,
    "first": first.measure,
    "many": many.measure,
    "issue": issue.measure,
    "catalog": crowd.issue,
    "change": crowd.change,
    "answer": answer.measure,
    "remembered": remembered.measure,
    "revocations": revocations.measure,
    "verification": verification.measure,
    "junk": junk.measure,
    "halted": halted.measure,
    "border": border.measure,
    "logout": sign_out.at_home,
    "refusal": sign_out.refusals,
    "intake": sign_out.intake,
    "usage": usage.measure,
    "start": start.measure,
    "crowded": crowded.measure,
    "database": instances.database,
    "again": again.measure,
    "signed": signed.measure,
    "server": server.measure,
    "provision": provision.measure,
    "instances": instances.measure,
}
#: Rows that are computed from others need these.
NEEDED = {"again": ("warm", "first"), "signed": ("first",)}
