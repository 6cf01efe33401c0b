"""`AvbookError`, the one exception that a user of avbook is meant to read."""

__all__ = ["AvbookError"]


class AvbookError(ValueError):
    """Input that cannot be used: one line with the file, what was found, what was expected and what
    to do."""

    def __init__(self, message: object = ""):
        super().__init__(" ".join(str(message).splitlines()))  # a name may have line breaks in it
