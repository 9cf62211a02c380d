"""The rows of the table, in the order in which they are measured.

`again` comes late: what `first` used
must have left Keystone's cache by then. `signed` comes last: tokens that west issued before count
nowhere after it.
"""

from benches.rows import (
    again,
    answer,
    border,
    first,
    halted,
    issue,
    junk,
    many,
    remembered,
    revocations,
    sign_out,
    signed,
    start,
    verification,
    warm,
)

ALL = {
    "warm": warm.measure,
    "first": first.measure,
    "many": many.measure,
    "issue": issue.measure,
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
    "start": start.measure,
    "again": again.measure,
    "signed": signed.measure,
}
#: Rows that are computed from others need these.
NEEDED = {"again": ("warm", "first"), "signed": ("first",)}
