"""The two ways in which a check does not pass."""


class DifferenceError(Exception):
    """Something is not as the folder says, in words."""


class UncheckableError(Exception):
    """Something cannot be checked here, and why."""
