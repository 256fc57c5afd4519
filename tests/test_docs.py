"""The documentation covers every room, and nothing that it names is gone."""

import re
from pathlib import Path

from test_architecture import IMPORT_ORDER, ROOMS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


FILE = r"(?<![\w./-])((?:mcmfh|jobs|tests|docs|cluster)/[\w/]+\.(?:py|md|yaml|html))"


def test_every_room_is_in_the_reference():
    listed = [
        name
        for page in (DOCS / "api").glob("*.md")
        for name in re.findall(r"^::: mcmfh\.(\S+)", page.read_text(), re.M)
    ]
    rooms = [room for room in ROOMS if (ROOT / "mcmfh" / room).exists() or (ROOT / "mcmfh" / f"{room}.py").exists()]
    assert sorted(listed) == sorted(rooms)


def test_the_order_of_rooms_is_told_as_it_is_enforced():
    order = " ".join(IMPORT_ORDER.split())
    for page in (DOCS / "architecture.md", ROOT / "CONTRIBUTING.md"):
        assert order in " ".join(page.read_text().split())


def test_files_that_are_named_exist():
    """`mcmfh/…`, `jobs/…`, `tests/…`, `docs/…`, `cluster/…` in the documentation and in ray_config.yaml."""
    pages = [*DOCS.rglob("*.md"), *ROOT.glob("*.md"), ROOT / "ray_config.yaml"]
    named = {
        (page.name, path)
        for page in pages
        for path in re.findall(
            r"(?<![\w./-])((?:mcmfh|jobs|tests|docs|cluster)/[\w/]+\.(?:py|md|yaml|html))", page.read_text()
        )
    }
    examples = set(re.findall(r"^# (mcmfh/\S+)$", (ROOT / "CONTRIBUTING.md").read_text(), re.M))
    assert len(named) > 20
    assert sorted((page, path) for page, path in named if path not in examples and not (ROOT / path).exists()) == []


def test_the_page_on_inputs_has_every_reason():
    """A reason that stands in the code as it is read by users; parts that are filled in are passed over."""
    page = (DOCS / "inputs.md").read_text()
    raised = re.compile(r"""(?:DecodeError|NoReport|NotProse)\("([^"]+)"\)|^    \("(text is [^"]+)", re""", re.M)
    code = [path.read_text() for path in (ROOT / "mcmfh" / "archive").rglob("*.py")]
    reasons = {one or other for text in code for one, other in raised.findall(text)}
    assert len(reasons) > 50
    assert not {reason for reason in reasons if reason not in page}
