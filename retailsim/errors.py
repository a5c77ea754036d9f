"""The one error that a user may see."""


class UserError(Exception):
    """A mistake that the person at the keyboard can mend; its text says what, where and how.

    Commands print the text and end with exit code 2 (see `retailsim.console`).
    """


def refuse_below(least: int, **flags: int | None) -> None:
    """A UserError that names the first of `flags` that was given and is below `least`."""
    for name, value in flags.items():
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} {value}: give at least {least}")
