"""The commands for a cluster: submit, and what there is to know of its jobs and its endpoint."""

from pathlib import Path
from typing import Annotated

import typer

jobs_app = typer.Typer(help="Jobs on a cluster: list, follow, stop.", no_args_is_help=True)
serve_app = typer.Typer(help="The endpoint of a cluster, which `mcmfh submit serve` deploys.", no_args_is_help=True)
Overrides = Annotated[list[str] | None, typer.Argument(help="section.key=value …", show_default=False)]
Address = Annotated[str, typer.Option(envvar="RAY_API_SERVER_ADDRESS", help="Jobs API of the cluster.")]
JOBS_API = "http://127.0.0.1:8265"


def submit(
    job: Annotated[str, typer.Argument(help="embed, train, hash, pretrain, evaluate or serve.")],
    overrides: Overrides = None,
    address: Address = JOBS_API,
) -> None:
    """Run a job on a cluster, follow its log and exit with its exit code; with 3 where it is left running (Ctrl-C)."""
    from mcmfh.submission import submit as send

    code = send(job, overrides or [], address, Path.cwd())
    raise typer.Exit(code)


@jobs_app.command("list")
def list_jobs(address: Address = JOBS_API) -> None:
    """Name, stage, archive and status of every job, the newest first."""
    from mcmfh.submission import job_client, job_table

    rows = job_table(job_client(address))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:  # not cut to the terminal's width: names are there to be copied
        print("  ".join(map(str.ljust, row, widths)).rstrip())


@jobs_app.command()
def logs(job: str, address: Address = JOBS_API) -> None:
    """Print the log of JOB from its beginning, follow it and exit as `mcmfh submit` does."""
    from mcmfh.submission import follow, job_client

    raise typer.Exit(follow(job_client(address), job))


@jobs_app.command()
def stop(job: str, address: Address = JOBS_API) -> None:
    """End JOB. What it has done stays; submitted again, it goes on from there."""
    from mcmfh.submission import job_client
    from mcmfh.submission import stop as end

    print(f"{job} {'is being stopped' if end(job_client(address), job) else 'had ended before'}")


@serve_app.command()
def status(address: Address = JOBS_API) -> None:
    """How the endpoint, its replicas and each node's proxy stand; exit code 1 where it does not run."""
    from mcmfh.submission import endpoint_status, serve_client

    running, lines = endpoint_status(serve_client(address))
    print("\n".join(lines))
    raise typer.Exit(0 if running else 1)


@serve_app.command()
def delete(address: Address = JOBS_API) -> None:
    """Take the endpoint down. Requests in flight have serve.drain_seconds to finish."""
    from mcmfh.submission import delete_endpoint, serve_client

    delete_endpoint(serve_client(address))
    print("the endpoint is deleted")
