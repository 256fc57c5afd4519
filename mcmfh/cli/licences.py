"""`mcmfh licences`: the licence of every package that this software installs, as each package itself states it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Annotated

import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = "mcmfh"
# GPL and AGPL with or without a version, spelt out or not; not LGPL, which binds only changes of the package itself.
STRICT = re.compile(r"\bA?GPL|(?<!Lesser )(?<!Library )\bGeneral Public Licen[sc]e", re.I)


@dataclass(frozen=True)
class Licence:
    """A package's name and version, and the licence in its metadata; "not stated" where there is none."""

    name: str
    version: str
    licence: str

    @property
    def strict(self) -> bool:
        """Whether it is under a GPL or AGPL, with no other licence to choose."""
        choices = re.split(r"\s+OR\s+", self.licence)
        return all(STRICT.search(choice) for choice in choices)


def installed(package: str, extras: Iterable[str] = ()) -> list[Licence]:
    """The licences of `package` with these extras and of all that it requires here, by name.

    Packages that are not installed are left out, such as those of another platform.
    """
    asked: dict[str, set[str]] = {}
    waiting: list[tuple[str, set[str]]] = [(package, set(extras))]
    while waiting:
        name, wanted = waiting.pop()
        seen = asked.get(name)
        if seen is not None and wanted <= seen:
            continue
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        asked[name] = (seen or set()) | wanted
        for requirement in map(Requirement, requirements):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *asked[name]}):
                waiting.append((canonicalize_name(requirement.name), set(requirement.extras)))
    return [Licence(name, metadata.version(name), stated(metadata.metadata(name))) for name in sorted(asked)]


def stated(about: metadata.PackageMetadata) -> str:
    """The licence in a package's metadata: its SPDX expression, or its classifiers, or the first line of the field."""
    for expression in about.get_all("License-Expression") or ():
        return str(expression)
    line = str((about.get_all("License") or [""])[0]).strip().partition("\n")[0].strip(" =")
    classifiers = [c.rpartition(" :: ")[2] for c in about.get_all("Classifier") or () if c.startswith("License ::")]
    # A classifier such as "OSI Approved" or "Dual License" says less than the field.
    if classifiers and classifiers != ["OSI Approved"]:
        return ", ".join(classifiers)
    return line or "not stated"


def licences(
    extras: Annotated[
        list[str] | None, typer.Option("--extra", help="Also of an extra, such as dicom or demo.")
    ] = None,
) -> None:
    """List the licence of every package that mcmfh requires, as installed here; exit code 1 if one is under a GPL."""
    found = installed(PACKAGE, extras or ())
    for one in found:
        print(f"{one.name:36} {one.version:18} {one.licence}")
    strict = [one.name for one in found if one.strict]
    if strict:
        print(f"under a GPL: {', '.join(strict)}")
        raise typer.Exit(1)
