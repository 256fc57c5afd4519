"""All stages on a phantom archive, from pictures to answered queries: the same as `mcmfh demo`.

python jobs/demo.py --help
"""

import typer

from mcmfh.cli import demo

if __name__ == "__main__":
    typer.run(demo)
