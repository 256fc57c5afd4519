"""The file systems that addresses may name, and what each needs so that it creates an object only once.

s3:// is reached as by every AWS client: by the variables AWS_ENDPOINT_URL, AWS_REGION, AWS_CA_BUNDLE and HTTPS_PROXY;
by keys in variables or files, profiles, an instance's role or a web identity, which are renewed when they expire.
az:// is reached by AZURE_STORAGE_CONNECTION_STRING, or by AZURE_STORAGE_ACCOUNT_NAME and a key, a SAS token or managed
identity; gs:// is reached by Google's application default credentials; STORAGE_EMULATOR_HOST names another server.
"""

import logging
import os
from functools import lru_cache
from typing import Any

import fsspec

from mcmfh.errors import InputError

SCHEMES = ("file", "s3", "az", "gs")
_EXTRAS = {"az": ("adlfs", "azure"), "gs": ("gcsfs", "gcs")}  # scheme → (library, extra of this package)
# Conditional writes answer 409 or 412 when another writer won; each library says it in its own way.
_LOST_RACE = ("PreconditionFailed", "ConditionalRequestConflict", "ConditionNotMet", "BlobAlreadyExists", "412", "409")


def open_scheme(scheme: str) -> fsspec.AbstractFileSystem:
    """The file system of one of SCHEMES. Raises InputError for any other, and where a library is not installed."""
    if scheme not in SCHEMES:
        listed = ", ".join(f"{one}://" for one in SCHEMES)
        raise InputError(f"storage scheme '{scheme}://' is not supported; use one of {listed}")
    return _filesystem(scheme, os.getpid())


@lru_cache(maxsize=32)
def _filesystem(scheme: str, pid: int) -> fsspec.AbstractFileSystem:
    # Keyed by process: the libraries hold event loops that do not survive a fork.
    try:
        if scheme == "gs":
            return _google()
        return fsspec.filesystem(scheme, **_options(scheme))
    except ImportError:
        library, extra = _EXTRAS[scheme]
        raise InputError(f"{scheme}:// needs {library}; install it with: pip install 'mcmfh[{extra}]'") from None
    except ValueError as error:  # adlfs without an account
        raise InputError(f"{scheme}:// cannot be opened ({error}); set the variables of its credentials") from None


_FRESH = {"use_listings_cache": False, "skip_instance_cache": True}


def _google() -> fsspec.AbstractFileSystem:
    """gcsfs for ordinary buckets: what it registers asks each bucket for its kind, with credentials of its own."""
    from gcsfs.core import GCSFileSystem

    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # its lines quote addresses
    return GCSFileSystem(**_FRESH)


def _options(scheme: str) -> dict[str, Any]:
    if scheme == "s3":
        retries = {"max_attempts": 8, "mode": "standard"}
        timeouts = {"connect_timeout": 5, "read_timeout": 10}  # seconds; the second without a byte
        return {
            "endpoint_url": os.environ.get("AWS_ENDPOINT_URL"),
            "config_kwargs": {"retries": retries, **timeouts},
            **_FRESH,
        }
    if scheme == "az":
        return {"connection_timeout": 5, "read_timeout": 10, **_FRESH}
    return {}


def create_object(fs: fsspec.AbstractFileSystem, path: str, data: bytes) -> bool:
    """Write an object of a remote store unless there is one at `path`; returns whether this call wrote it."""
    try:
        fs.pipe_file(path, data, mode="create")
        return True
    except FileExistsError:
        return False
    except Exception as error:
        if any(mark in str(error) or mark in repr(error.__cause__) for mark in _LOST_RACE):
            return False
        raise


def version_of(info: dict[str, Any]) -> str:
    """A short string that changes when the object does, from what its file system says of it."""
    if etag := info.get("ETag") or info.get("etag"):
        return f"etag:{str(etag).strip(chr(34))}"
    return f"size:{info.get('size')} mtime:{info.get('mtime')}"


def modified_of(info: dict[str, Any]) -> float:
    """Seconds since 1970 when the object was written, from what its file system says of it."""
    when = next(info[name] for name in ("mtime", "LastModified", "last_modified") if name in info)
    return float(when.timestamp() if hasattr(when, "timestamp") else when)
