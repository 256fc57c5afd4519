"""Addresses inside documents of a store: what lies below the store is named relative to it.

So a store that was copied, moved or restored elsewhere opens there. What lies outside keeps its absolute address. Older
stores name everything absolutely; for their sealed folders the store's own copy counts, wherever the store is now.
"""

from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.store import files
from mcmfh.store.sealed import CONFIG

# What begins with a slash, holds a scheme or leads upwards would not lead back to the same file.
_AMBIGUOUS = r"^/|^$|://|(?:^|/)\.\.(?:/|$)"


def named(store: str, uri: str) -> str:
    """`uri` as a document of `store` states it: relative where it lies below the store, else as it is."""
    name: str = named_column(store, pa.array([uri]))[0].as_py()
    return name


def address(store: str, name: str) -> str:
    """The absolute address of what a document of `store` names."""
    return files.join(files.absolute(store), name)


def named_column(store: str, uris: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """`named` of a column of absolute addresses, in which the store's own may be percent-encoded."""
    prefix = files.absolute(store) + "/"
    for written in {prefix, quote(prefix, safe=":/")}:
        rest = pc.utf8_slice_codeunits(uris, len(written))
        ours = pc.and_not(pc.starts_with(uris, written), pc.match_substring_regex(rest, _AMBIGUOUS))
        uris = pc.if_else(ours, rest, uris)
    return uris


def address_column(store: str, names: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """`address` of a column of names."""
    joined = pc.binary_join_element_wise(files.absolute(store) + "/", names, "")
    return pc.if_else(pc.match_substring(names, "://"), names, joined)


def sealed_address(store: str, name: str, folder: str) -> str:
    """The address of the sealed folder that a document of `store` names.

    folder: where the store keeps sealed folders of that kind. Where `name` is absolute, the folder of the same digest
    in there goes before it.
    """
    if "://" not in name:
        return address(store, name)
    own = files.join(folder, name.rpartition("/")[2])
    return own if files.exists(files.join(own, CONFIG)) else name
