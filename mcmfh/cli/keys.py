"""`mcmfh key new`."""

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
) -> None:
    """Print a fresh key, once, and the line of serve.keys that lets it in."""
    from pydantic import ValidationError

    from mcmfh.config import KeyConfig
    from mcmfh.serving.keys import new_key

    key, digest = new_key()
    try:
        line = KeyConfig(name=name, sha256=digest, requests_per_second=requests_per_second)
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        raise InputError(f"{fault['loc'][0]} of the key: {fault['msg']}; choose another") from error
    rate = f"{line.requests_per_second:g}"
    print(f"key, shown this once:  {key}")
    print(f"line for serve.keys:   - {{name: {line.name}, sha256: {line.sha256}, requests_per_second: {rate}}}")
