"""The one exception for what a user got wrong."""


class InputError(ValueError):
    """Something the user gave is wrong: a path, a file's content, a name, a number.

    The message is one line that says what was found, what was expected and what to do about it.
    The commands print it on standard error and exit with status 2, without a traceback.
    """
