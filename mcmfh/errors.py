"""The one exception whose message is written for users: one line and exit code 2, or an HTTP 4xx."""


class InputError(ValueError):
    """An input that cannot be used. The message is one sentence that names the culprit and the remedy."""
