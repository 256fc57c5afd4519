"""`mcmfh audit`: what was shown to whom, and whether the record of it is whole."""

import json
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from mcmfh.config import Config, load_config
from mcmfh.errors import InputError


def audit(
    overrides: Annotated[
        list[str] | None, typer.Argument(help="verify, or nothing; then section.key=value …", show_default=False)
    ] = None,
    patient: Annotated[
        str | None,
        typer.Option(help="An item, a study or, with archive.manifest, a patient (`group`): who saw something of it?"),
    ] = None,
    who: Annotated[str | None, typer.Option(help="The name of a key: what was shown to it?")] = None,
    fhir: Annotated[bool, typer.Option("--fhir", help="As FHIR AuditEvents (IHE BALP), one a line.")] = False,
    head: Annotated[
        str | None, typer.Option(help="NUMBER:MAC that an earlier `verify` printed; it must still be there.")
    ] = None,
) -> None:
    """Print the audit of the configured archive, one JSON object a line; exit code 1 where a part of it is missing."""
    from mcmfh.audit.chain import read_secret
    from mcmfh.audit.fhir import audit_event
    from mcmfh.audit.reading import local_folder, matching, read_audit
    from mcmfh.store.layout import archive_root

    words = overrides or []
    verifies = words[:1] == ["verify"]
    config = load_config(words[verifies:])
    if config.audit.secret_uri is None:
        raise InputError("the audit is read with its secret; set audit.secret_uri")
    root = archive_root(config.store, config.archive.name)
    secret = read_secret(config.audit.secret_uri)
    read = read_audit(root, secret, local_folder(config.audit.folder, root))
    faults = list(read.faults)
    if head is not None:
        number, _, mac = head.partition(":")
        if (number, mac) not in {(str(each.number), each.mac) for each in read.heads}:
            faults.append(f"head {number} is not there any more: the end of the audit was cut")
    if not verifies:
        names = _names(config, secret, patient) if patient is not None else None
        records = matching(read.records, who, names)
        known = _identifiers(root, secret, records)
        for record in records:
            shown = audit_event(record, known, f"mcmfh {config.archive.name}") if fhir else _named(record, known)
            print(json.dumps(shown, ensure_ascii=False))
    for fault in faults:
        typer.echo(fault, err=True)
    if verifies:
        print(f"{len(read.records):,} records; {'whole' if not faults else f'{len(faults)} faults'}")
        if read.open:
            print(f"{len(read.open)} chains are still written, or their processes were killed")
        if read.heads:
            print(f"head {read.heads[-1].number}:{read.heads[-1].mac}")
    raise typer.Exit(1 if faults else 0)


def _names(config: Config, secret: Any, patient: str) -> dict[str, set[str]]:
    """Kind → digests of all that belongs to `patient`: the item or study of that name, and what the manifest groups."""
    items, studies = {patient}, {patient}
    if config.archive.manifest is not None:
        from mcmfh.archive.manifest import read_manifest

        for row in read_manifest(config.archive.manifest).select(["item_id", "study_id", "group"]).to_pylist():
            if patient in (row["group"], row["study_id"], row["item_id"]):
                items.add(row["item_id"])
                studies.add(row["study_id"])
    return {
        "items": {secret.name("item", item) for item in items},
        "studies": {secret.name("study", study) for study in studies},
    }


def _identifiers(root: str, secret: Any, records: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Digest → the archive's own identifier, of what a kept snapshot still has."""
    from mcmfh.snapshots.document import read_snapshot, snapshot_numbers
    from mcmfh.snapshots.shards import read_items

    wanted = {digest for record in records for kind in ("items", "studies") for digest in record.get(kind, ())}
    known: dict[str, str] = {}
    shards = {shard for number in snapshot_numbers(root) for shard in read_snapshot(root, number).shards}
    for shard in sorted(shards, key=lambda shard: shard.items) if wanted else ():
        table = read_items(root, shard)
        for kind, column in (("item", "item_id"), ("study", "study_id")):
            for identifier in set(table[column].to_pylist()):
                if (digest := secret.name(kind, identifier)) in wanted:
                    known[digest] = identifier
    return known


def _named(record: dict[str, Any], known: dict[str, str]) -> dict[str, Any]:
    """A record with identifiers for digests, where they are known."""
    return {
        name: [known.get(digest, digest) for digest in value] if name in ("items", "studies") else value
        for name, value in record.items()
        if name != "previous"
    }
