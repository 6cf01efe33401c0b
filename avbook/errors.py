"""`AvbookError`, the exception whose message is meant for users."""

__all__ = ["AvbookError"]


class AvbookError(ValueError):
    """Unusable input. The message is one line: the file, what was found, what was expected, what to
    do."""

    def __init__(self, message: object = ""):
        super().__init__(" ".join(str(message).splitlines()))  # file names may contain line breaks
