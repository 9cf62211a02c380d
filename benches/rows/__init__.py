"""The rows of the table, in the order in which they are measured.

`again` comes last: what `first` used must have left Keystone's cache by then.
"""

from benches.rows import again, answer, border, first, halted, issue, junk, many, start, warm

ALL = {
    "warm": warm.measure,
    "first": first.measure,
    "many": many.measure,
    "issue": issue.measure,
    "answer": answer.measure,
    "junk": junk.measure,
    "halted": halted.measure,
    "border": border.measure,
    "start": start.measure,
    "again": again.measure,
}
#: Rows that are computed from others need these.
NEEDED = {"again": ("warm", "first")}
