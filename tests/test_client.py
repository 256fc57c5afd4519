"""The client of the endpoint loads nothing that a hospital's workstation lacks."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from mcmfh.client import search_endpoint
known = {{*sys.stdlib_module_names, "mcmfh"}}
print(*sorted({{name.partition(".")[0] for name in sys.modules}} - before - known))
"""


def test_importing_the_client_imports_the_standard_library_alone():
    """Neither torch nor ray nor numpy: nothing but mcmfh itself."""
    program = "import sys\nbefore = {name.partition('.')[0] for name in sys.modules}\n" + PROGRAM.format(
        root=str(Path(__file__).parent.parent)
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
