"""Where an archive's files may lie (`archive.roots`): nothing outside is read, whatever a manifest says.

Links and ".." are resolved first, on both sides. The default is the manifest's own folder, or its bucket.
"""

import contextlib
import posixpath
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from mcmfh.archive.addresses import container_of, member_of
from mcmfh.errors import InputError
from mcmfh.store import files


def default_roots(manifest: str) -> tuple[str, ...]:
    """The folder of a manifest on a disk; the bucket of one in a bucket."""
    uri = files.absolute(manifest)
    if files.is_local(uri):
        return (files.parent(uri),)
    scheme, _, path = uri.partition("://")
    return (f"{scheme}://{path.partition('/')[0]}",)


def inside(uri: str, roots: Sequence[str] | None) -> bool:
    """Whether `uri` may be read. Raises InputError for an address of no kind."""
    if roots is None:
        return True
    real = files.resolved(container_of(uri))
    return any(_below(real, _resolved(root)) for root in roots)


def inside_as_written(uri: str, roots: Sequence[str] | None) -> bool:
    """Whether the address of a member may be read as that of a plain file: a folder may be called "x.zip!".

    Such a folder may hold links, and ".." leads out of it. True for what addresses no member.
    """
    if roots is None or member_of(uri) is None:
        return True
    real = files.resolved(uri)
    return any(_below(real, _resolved(root)) for root in roots)


def folders_to_add(uris: Iterable[str | None], roots: Sequence[str]) -> dict[str, int]:
    """Folders and buckets outside `roots` that hold some of `uris` → how many, the most first.

    Compared as written: links are resolved when a file is read.
    """
    written = [files.absolute(root) for root in roots]
    folders = Counter(files.parent(uri) for uri in uris if uri and not any(_below(uri, root) for root in written))
    first: dict[tuple[str, str], Counter[str]] = {}
    for folder, count in folders.items():
        scheme, _, path = folder.partition("://")
        top = path.strip("/").partition("/")[0]
        first.setdefault((scheme, top), Counter())[folder] += count
    together = Counter({_common(list(each)): each.total() for each in first.values()})
    return dict(together.most_common())


def outside(uris: Iterable[str | None], roots: Sequence[str] | None) -> list[str]:
    """Where those of `uris` really are that are outside `roots`."""
    places = []
    for uri in uris:
        with contextlib.suppress(InputError, OSError, ValueError):  # an address of no kind is a fault of its own
            if uri and not inside(uri, roots):
                places.append(files.resolved(container_of(uri)))
    return places


def outside_roots(uris: Iterable[str | None], roots: Sequence[str] | None) -> str:
    """A sentence with the setting that lets in those of `uris` that are outside `roots`; "" where there are none.

    It names folders, and is for the terminal of whoever owns the archive.
    """
    places = outside(uris, roots)
    if not places or roots is None:
        return ""
    setting = line_to_add(roots, folders_to_add(places, roots))
    tried = "with embed.retry_quarantined=true if a job has tried them"
    return (
        f"{len(places):,} addresses are outside archive.roots and are not read; to let them in, {tried}, set {setting}"
    )


def line_to_add(roots: Sequence[str], more: Iterable[str]) -> str:
    """The setting that lets `more` in as well."""
    return f"archive.roots=[{', '.join([*map(files.absolute, roots), *more])}]"


def _common(folders: list[str]) -> str:
    scheme = folders[0].partition("://")[0]
    paths = [folder.partition("://")[2] for folder in folders]
    return f"{scheme}://{posixpath.commonpath(paths)}"


def _below(uri: str, root: str) -> bool:
    root = root.rstrip("/")
    return uri == root or uri.startswith(f"{root}/") or root in ("file://", "file:")


@lru_cache(maxsize=64)
def _resolved(root: str) -> str:
    try:
        return files.resolved(root)
    except InputError as error:
        raise InputError(f"archive.roots: {error}") from error
