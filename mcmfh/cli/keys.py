"""`mcmfh key new`."""

import json
from datetime import datetime
from typing import Annotated

import typer

from mcmfh.errors import InputError

app = typer.Typer(help="Access keys of the endpoint.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Access keys of the endpoint."""


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Whose key it is; appears in logs.")],
    requests_per_second: Annotated[float, typer.Option(help="Beyond them: 429.")] = 50,
    requests_per_day: Annotated[int | None, typer.Option(help="Beyond them: 429 until midnight, UTC.")] = None,
    roles: Annotated[
        list[str] | None, typer.Option("--role", help="search, read or admin; default: search and read.")
    ] = None,
    where: Annotated[str | None, typer.Option(help='The items that it sees, as JSON: {"department": "X"}.')] = None,
    archives: Annotated[list[str] | None, typer.Option("--archive", help="It opens these archives alone.")] = None,
    expires: Annotated[datetime | None, typer.Option(help="It opens nothing from then on, UTC.")] = None,
) -> None:
    """Print a fresh key, once, and the line of serve.keys that lets it in."""
    import yaml
    from pydantic import ValidationError

    from mcmfh.config import KeyConfig
    from mcmfh.serving.keys import new_key

    key, digest = new_key()
    try:
        line = KeyConfig.model_validate(
            {
                "name": name,
                "sha256": digest,
                "requests_per_second": requests_per_second,
                "requests_per_day": requests_per_day,
                "where": json.loads(where) if where else {},
                "archives": archives,
                "expires": expires,
                **({"roles": roles} if roles else {}),
            }
        )
    except json.JSONDecodeError as error:
        raise InputError(f'--where is not JSON ({error.msg}); write it as in \'{{"department": "X"}}\'') from error
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        raise InputError(f"{fault['loc'][0]} of the key: {fault['msg']}; choose another") from error
    values = line.model_dump(mode="json", exclude_defaults=True) | {"requests_per_second": line.requests_per_second}
    rendered = yaml.safe_dump(values, default_flow_style=True, sort_keys=False, width=10**6).strip()
    print(f"key, shown this once:  {key}")
    print(f"line for serve.keys:   - {rendered}")
