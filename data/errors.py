"""The exception for mistakes of the user."""


class InputError(ValueError):
    """An input of the user is wrong: a path, the content of a file, a name, a number.

    The message is one line that states what was found, what was expected and what to do about it, with parameters in
    backticks. The commands print it on standard error and exit with status 2, without a traceback.
    """
