"""The errors a user can cause or mend. The command line prints them as one line, without a traceback."""


class UserError(ValueError):
    """A setting, file or plug-in is wrong. The message names it, its value, what is allowed and what to do next."""
