"""`mcmfh`: the demo, submission to a cluster, manifests and their faults, snapshots, a query without a server."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from mcmfh.cli import keys
from mcmfh.cli import store as store_commands
from mcmfh.cli.audit import audit
from mcmfh.cli.cluster import Overrides, jobs_app, serve_app, submit
from mcmfh.cli.licences import licences
from mcmfh.cli.replay import replay
from mcmfh.command import guarded
from mcmfh.config import load_config
from mcmfh.console import terminal
from mcmfh.errors import InputError

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
snapshots_app = typer.Typer(
    help="An archive's snapshots: list, compare, publish an old one anew, clear away.", no_args_is_help=True
)
app.add_typer(snapshots_app, name="snapshots")
app.add_typer(store_commands.app, name="store")
app.command()(replay)
app.command()(licences)
app.command()(audit)
app.add_typer(keys.app, name="key")
app.command(context_settings={"ignore_unknown_options": True})(submit)
app.add_typer(jobs_app, name="jobs")
app.add_typer(serve_app, name="serve")


def main() -> None:
    """The entry point. An InputError becomes one line and exit code 2."""
    raise SystemExit(guarded(app))


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where the phantom archive and all results go.")] = Path("demo"),
    studies: Annotated[int, typer.Option(min=100, help="Size of the phantom archive.")] = 1200,
    store: Annotated[
        str | None, typer.Option(help="Where derived data goes: a folder or s3://…; default: in FOLDER.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the endpoint up and print a ready curl.")] = False,
    port: Annotated[int, typer.Option(help="Of the endpoint.")] = 8000,
) -> None:
    """The whole way on a phantom archive: embed, train, evaluate, hash, publish, serve, search."""
    from mcmfh.demo.run import run_demo

    run_demo(folder, studies, store, keep, port)


@app.command()
def check(
    manifest: str,
    filters: Annotated[list[str] | None, typer.Option("--filter", help="A filter column.")] = None,
    roots: Annotated[
        list[str] | None,
        typer.Option("--root", help="A folder or bucket that may be read; default: archive.roots of ray_config.yaml."),
    ] = None,
    leaks: Annotated[
        bool, typer.Option("--leaks", help="Also test items that share patient, study, text or picture with training.")
    ] = False,
    trained: Annotated[
        list[str] | None, typer.Option("--trained", help="With --leaks: a model or towers; whom did they see?")
    ] = None,
    duplicates: Annotated[
        bool, typer.Option("--duplicates", help="Also nearly equal images and equal reports across splits.")
    ] = False,
    merge: Annotated[
        str | None, typer.Option(help="Write a manifest (Parquet) here, duplicates in one group and on one side.")
    ] = None,
) -> None:
    """Say what is wrong with a manifest, row by row, before anything heavy starts; exit code 1 if anything is."""
    from mcmfh.archive.images import Limits
    from mcmfh.archive.manifest import check_manifest, read_manifest
    from mcmfh.archive.roots import outside_roots
    from mcmfh.archive.summary import summarise

    table = read_manifest(manifest, filters or ())
    faults = check_manifest(table)
    print("\n".join(summarise(table)))
    allowed = tuple(roots or ()) or load_config([f"archive.manifest={json.dumps(manifest)}"]).archive.allowed_roots
    outside = outside_roots((uri for name in ("image_uri", "report_uri") for uri in table[name].to_pylist()), allowed)
    if duplicates or merge:
        from mcmfh.archive import duplicates as twins
        from mcmfh.archive.manifest import write_manifest
        from mcmfh.archive.modality import MODALITIES
        from mcmfh.archive.splits import with_splits

        table = with_splits(table)
        pairs = twins.find_duplicates(table, Limits(roots=allowed))
        faults += twins.straddling_twins(table, pairs)
        if merge:
            write_manifest(twins.merge_duplicates(table, pairs), merge)
    for fault in faults:
        print(f"row {fault.row}: {fault.reason}{'' if fault.fatal else ' (warning)'} [{fault.item_id}]")
    print(f"{table.num_rows} rows, {len({fault.row for fault in faults})} of them with faults")
    print(outside or "every address lies within archive.roots")
    if duplicates or merge:
        counts = [sum(pair.kind == kind for pair in pairs) for kind in MODALITIES]
        print(f"{counts[0]} pairs of nearly equal images, {counts[1]} equal reports, across splits or not")
    leaking = 0
    if leaks or trained:
        from mcmfh.pipeline.leak_check import leak_lines

        given = [f"archive.manifest={json.dumps(manifest)}", f"archive.roots={json.dumps(allowed)}"]
        lines, leaking = leak_lines(load_config(given), trained or ())
        print("\n".join(lines))
    raise typer.Exit(1 if faults or outside or leaking else 0)


@app.command()
def reproduce(
    page: Annotated[str, typer.Argument(help="The address of an evaluation's report.html.")],
    tolerance: Annotated[float, typer.Option(min=0, help="Scores that differ by no more are equal.")] = 1e-9,
) -> None:
    """Make the figures of PAGE again from what they were made from, and compare; exit code 1 where a score differs."""
    from mcmfh import ray_session
    from mcmfh.pipeline.reproduce import page_config, reproduce

    ray_session.connect(page_config(page).cluster)
    again = reproduce(page, tolerance)
    print("\n".join(again.lines))
    raise typer.Exit(0 if again.equal else 1)


@app.command()
def manifest(
    source: str,
    output: str,
    columns: Annotated[
        list[str] | None,
        typer.Option("--column", help="SOURCE is a table: report=FINDINGS names the column that holds the reports."),
    ] = None,
) -> None:
    """Make a manifest (Parquet, at OUTPUT) of a folder of DICOM files, pictures and reports, or of a table."""
    from mcmfh.archive.columns import manifest_of_table
    from mcmfh.archive.discover import survey
    from mcmfh.archive.manifest import read_manifest, write_manifest
    from mcmfh.archive.roots import default_roots, outside_roots
    from mcmfh.archive.summary import summarise, summarise_survey

    if columns:
        pairs = [column.partition("=") for column in columns]
        if not all(equals for _, equals, _ in pairs):
            raise InputError("--column is of the form MANIFEST_COLUMN=COLUMN_OF_THE_TABLE, e.g. report=FINDINGS")
        manifest_of_table(source, {name: column for name, _, column in pairs}, output)
        table = read_manifest(output)
        print("\n".join(summarise(table)))
    else:
        found = survey(source)
        table = found.table
        print("\n".join(summarise_survey(found)))
        write_manifest(table, output)
    addresses = (uri for name in ("image_uri", "report_uri") for uri in table[name].to_pylist())
    if outside := outside_roots(addresses, default_roots(output)):
        print(outside)
    print(f"{table.num_rows} items in {output}")


@app.command()
def search(
    image: Annotated[Path | None, typer.Option(help="A picture or DICOM file to look for.")] = None,
    report: Annotated[str | None, typer.Option(help="A text to look for.")] = None,
    k: Annotated[int, typer.Option(min=1, max=1000)] = 10,
    target: Annotated[str | None, typer.Option(help="report, image or study; default: the other modality.")] = None,
    focus: Annotated[str | None, typer.Option(help="What to look for most, e.g. heart: re-ranks the hits.")] = None,
    where: Annotated[str | None, typer.Option(help='Filters as JSON: {"modality": "CT"}.')] = None,
    archive: Annotated[str | None, typer.Option(help="Which one, where the endpoint serves several.")] = None,
    endpoint: Annotated[
        list[str] | None, typer.Option(help="URL of a running endpoint; given again, the next one to ask.")
    ] = None,
    key: Annotated[str | None, typer.Option(envvar="MCMFH_KEY", help="The endpoint's access key.")] = None,
    snapshot: Annotated[
        str | None, typer.Option(help="URI of an archive (store/archives/NAME): no server needed.")
    ] = None,
) -> None:
    """One query, to an endpoint or straight to a snapshot; the answer as JSON."""
    from mcmfh.archive.limits import DecodeError
    from mcmfh.client import search_endpoint
    from mcmfh.search.in_process import search_snapshot

    if image is not None and not image.is_file():
        raise InputError(f"image '{image}' does not exist; give the path of a picture or DICOM file")
    try:
        conditions = json.loads(where) if where else {}
    except ValueError:
        raise InputError('--where is no JSON; write it as {"modality": "CT"}') from None
    fields = {"report": report, "k": k, "target": target, "focus": focus, "where": conditions, "archive": archive}
    fields = {name: value for name, value in fields.items() if value is not None}
    picture = image.read_bytes() if image else None
    if bool(endpoint) == bool(snapshot):
        raise InputError("name where to search: either --endpoint URL or --snapshot URI")
    if snapshot and archive:
        raise InputError("--snapshot is the address of one archive; leave --archive out")
    if endpoint:
        answer = search_endpoint(endpoint, picture, fields, key)
    else:
        try:
            answer = search_snapshot(str(snapshot), picture, fields)
        except DecodeError as error:
            raise InputError(f"the query cannot be read: {error}") from None
    print(json.dumps(answer, indent=2, ensure_ascii=False))


@snapshots_app.command("list")
def list_snapshots(overrides: Overrides = None) -> None:
    """Number, items, quarantined inputs and model of every snapshot of the configured archive."""
    from mcmfh.snapshots.document import read_snapshot, snapshot_numbers
    from mcmfh.store.layout import archive_root

    config = load_config(overrides or [])
    root = archive_root(config.store, config.archive.name)
    table = Table("snapshot", "parent", "items", "quarantined", "bits", "model")
    for number in snapshot_numbers(root):
        document = read_snapshot(root, number)
        bits, model = ",".join(map(str, document.bits)), document.code_digest[:12]
        table.add_row(*map(str, (number, document.parent, document.items, document.quarantined, bits, model)))
    terminal().print(table)


@snapshots_app.command()
def rollback(number: int, overrides: Overrides = None) -> None:
    """Publish snapshot NUMBER anew, under the next number."""
    from mcmfh.snapshots import publish
    from mcmfh.store.layout import archive_root

    config = load_config(overrides or [])
    new = publish.rollback(archive_root(config.store, config.archive.name), number)
    print(f"snapshot {new} holds what snapshot {number} held")


@snapshots_app.command("diff")
def diff_snapshots(old: int, new: int, overrides: Overrides = None) -> None:
    """Items added, removed, changed and rewritten from snapshot OLD to snapshot NEW."""
    from mcmfh.snapshots.diff import diff
    from mcmfh.snapshots.document import read_snapshot, snapshot_numbers
    from mcmfh.store.layout import archive_root

    config = load_config(overrides or [])
    root = archive_root(config.store, config.archive.name)
    numbers = snapshot_numbers(root)
    if missing := [number for number in (old, new) if number not in numbers]:
        raise InputError(f"snapshot {missing[0]} does not exist in '{root}'; list them with mcmfh snapshots list")
    difference = diff(root, read_snapshot(root, old), read_snapshot(root, new))
    print(", ".join(f"{count} {name}" for name, count in vars(difference).items()))


@snapshots_app.command("gc")
def collect_garbage(
    overrides: Overrides = None,
    keep: Annotated[int, typer.Option(min=1, help="Newest snapshots that stay.")] = 3,
    grace_hours: Annotated[float, typer.Option(min=0, help="What is younger stays.")] = 72,
    delete: Annotated[bool, typer.Option("--delete", help="Do it; without, only say what would go.")] = False,
) -> None:
    """What the newest snapshots do not need: older ones, their shards, and what killed jobs left behind."""
    from mcmfh.snapshots import gc
    from mcmfh.store.layout import archive_root

    config = load_config(overrides or [])
    garbage = gc.find_garbage(archive_root(config.store, config.archive.name), keep, grace_hours * 3600)
    for uri in garbage.uris:
        print(uri)
    if delete:
        gc.collect(garbage)
    said = "deleted" if delete else "would be deleted; --delete does it"
    print(f"{len(garbage.uris)} objects, {garbage.bytes:,} bytes {said}")
