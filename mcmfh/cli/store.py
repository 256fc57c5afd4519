"""`mcmfh store verify | copy | relocate | erase`."""

from pathlib import Path
from typing import Annotated

import typer

from mcmfh.errors import InputError
from mcmfh.store import files

app = typer.Typer(help="A store as a whole: verify it, copy it, rewrite what an old one names.", no_args_is_help=True)


@app.command()
def verify(
    store: str,
    record: Annotated[
        bool, typer.Option(help="Keep digests of files that do not verify themselves, for the next verification.")
    ] = True,
    cache: Annotated[
        Path | None, typer.Option(help="A node's cache (~/.cache/mcmfh, or $MCMFH_CACHE) to verify as well.")
    ] = None,
) -> None:
    """Read all of STORE again and compare it with its digests; exit code 1 where a file is damaged or missing."""
    from mcmfh.search.cache import damaged_files
    from mcmfh.snapshots.verify import verify_store

    in_cache = damaged_files(cache) if cache else []
    for name in in_cache:
        print(f"{name} of the cache is damaged: it is fetched again when a replica opens or sweeps the snapshot")

    verified = verify_store(store, record)
    for fault in verified.faults:
        print(f"{fault.name} {fault.what}: {fault.remedy}")
    print(f"{verified.files:,} files, {verified.bytes:,} bytes verified; {len(verified.faults)} damaged or missing")
    if verified.recorded:
        done = "recorded now; the next verification compares them" if record else "not recorded"
        print(f"of {len(verified.recorded):,} files no digest was known, {done}")
    raise typer.Exit(1 if verified.faults or in_cache else 0)


@app.command()
def copy(source: str, target: str) -> None:
    """Copy SOURCE to TARGET, verified; nothing at TARGET is overwritten. Run again, it goes on or adds what is new."""
    from mcmfh.snapshots.verify import copy_verified, verify_store

    copied = copy_verified(source, target)
    for name in copied.names("damaged"):
        print(f"{name} is damaged in SOURCE and was not copied; see mcmfh store verify")
    for name in copied.names("conflict"):
        print(f"{name} has another content at TARGET, which was kept; copy to a new place, or delete it there")
    print(
        f"{copied.count('copied'):,} files copied ({copied.bytes:,} bytes), {copied.count('present'):,} were there, "
        f"{copied.count('vanished'):,} were deleted meanwhile"
    )
    told = {*copied.names("conflict")}
    faults = [fault for fault in verify_store(target).faults if fault.name not in told]
    for fault in faults:
        remedy = "copy again" if fault.what == "is missing" else "delete it there and copy again"
        print(f"{fault.name} {fault.what} at TARGET; {remedy}, or see mcmfh store verify {source}")
    raise typer.Exit(1 if faults or copied.names("damaged") or copied.names("conflict") else 0)


@app.command()
def erase(
    store: str,
    item: Annotated[list[str] | None, typer.Option(help="An item_id; may be given several times.")] = None,
    patient: Annotated[
        str | None, typer.Option(help="An item, a study or, with --manifest, a patient (`group`): all of its items.")
    ] = None,
    archive: Annotated[
        str | None, typer.Option(help="The archive that holds it; needed where STORE has several.")
    ] = None,
    manifest: Annotated[
        str | None, typer.Option(help="A manifest that still lists the patient: which items are its?")
    ] = None,
) -> None:
    """Erase items from every snapshot, embedding and working file of STORE. No job may work on it meanwhile."""
    from mcmfh.search.opening import sweep_cache
    from mcmfh.snapshots.erase import erase as erase_items
    from mcmfh.snapshots.erase import items_of
    from mcmfh.store.layout import archive_root, archives_folder

    if not item and patient is None:
        raise InputError("nothing is named; give --item or --patient")
    names = files.names(archives_folder(store))
    if archive is None and len(names) != 1:
        raise InputError(f"store '{store}' has {len(names)} archives; name one with --archive")
    archive = archive or names[0]
    root = archive_root(store, archive)
    wanted = {*(item or ()), *([patient] if patient is not None else ())}
    if patient is not None:
        wanted |= items_of(root, [patient, *(_listed_items(manifest, patient) if manifest else ())])
    lines = 0
    for line in erase_items(store, archive, wanted):
        print(line)
        lines += 1
    sweep_cache(root)
    if not lines:
        print(f"archive {archive} holds nothing of it (any more)")
    else:
        print("delete its files and its rows in the manifest, or the next job brings it back; erase it in copies, too")


def _listed_items(manifest: str, patient: str) -> list[str]:
    """The item_ids that a manifest lists for a patient (`group`), a study or an item."""
    from mcmfh.archive.manifest import read_manifest

    rows = read_manifest(manifest).select(["item_id", "study_id", "group"]).to_pylist()
    return [row["item_id"] for row in rows if patient in row.values()]


@app.command()
def relocate(
    store: str,
    moved: Annotated[
        list[str] | None, typer.Option("--moved", help="OLD=NEW: pictures that were moved as well, by their folders.")
    ] = None,
) -> None:
    """Publish a next snapshot of each archive of an old STORE that names all below it relatively."""
    from mcmfh.snapshots.relocate import relocate_store

    moves = [move.partition("=") for move in moved or []]
    if not all(old and new for old, _, new in moves):
        raise InputError("--moved is of the form OLD=NEW, e.g. s3://old/images=s3://new/images")
    for done in relocate_store(store, [(old, new) for old, _, new in moves]):
        if done.published:
            print(f"archive {done.archive}: snapshot {done.snapshot} published, {done.addresses:,} addresses rewritten")
        else:
            print(f"archive {done.archive}: nothing to rewrite")
