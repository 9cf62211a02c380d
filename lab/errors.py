"""The one error that reaches a person: a line that says what is wrong and what to do."""


class LabError(Exception):
    """Printed without a traceback; the command ends with status 1."""
