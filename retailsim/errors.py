"""The one error that a user may see."""


class UserError(Exception):
    """A mistake that the person at the keyboard can mend; its text says what, where and how.

    Commands print the text and end with exit code 2 (see `retailsim.console`).
    """
