"""The one exception a user is meant to read: it becomes one line and exit code 2, or an HTTP 4xx."""


class InputError(ValueError):
    """What the user gave cannot be used. The message is one sentence naming the culprit and the remedy."""
