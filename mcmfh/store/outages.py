"""Which errors say that a store or the network fails, and how they are told without the addresses they quote."""

import asyncio
import errno

# Errors of a store that does not answer, as the system and the libraries of the stores say it.
_OUTAGES = (
    *(errno.EBUSY, errno.EAGAIN, errno.ETIMEDOUT, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN),
    *(errno.EHOSTUNREACH, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOBUFS),
)
_OUTAGE_CLASSES = {
    *(("botocore", "ConnectionError"), ("botocore", "HTTPClientError"), ("botocore", "NoCredentialsError")),
    *(("botocore", "CredentialRetrievalError"), ("aiohttp", "ClientError"), ("urllib3", "HTTPError")),
    *(("azure", "ServiceRequestError"), ("azure", "ServiceResponseError"), ("azure", "ClientAuthenticationError")),
    *(("google", "TransportError"), ("google", "RefreshError"), ("google", "DefaultCredentialsError")),
}


def is_outage(error: BaseException) -> bool:
    """Whether `error` says that a store or the network fails, and nothing about the object that was asked for."""
    if isinstance(error, ConnectionError | TimeoutError | asyncio.TimeoutError):
        return True
    if isinstance(error, OSError) and error.errno in _OUTAGES:
        return True
    return any((kind.__module__.partition(".")[0], kind.__name__) in _OUTAGE_CLASSES for kind in type(error).__mro__)


def outage(error: BaseException) -> OSError:
    """`error`, an outage, by its kind alone: its message may quote an address, which logs would keep."""
    said = f"the store or the network fails ({type(error).__name__})"
    if not isinstance(error, OSError) or type(error).__module__ != "builtins":
        return ConnectionError(said)
    return type(error)(error.errno, said) if error.errno else type(error)(said)
