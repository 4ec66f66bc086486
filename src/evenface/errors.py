"""The one exception for a mistake that the user can mend."""


class UserError(ValueError):
    """Bad input: its message names the field or file and the cure; the command line prints it alone."""
