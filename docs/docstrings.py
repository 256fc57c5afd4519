"""Prepares docstrings for the reference: they are plain text, and the reference renders Markdown.

A paragraph laid out in columns (file trees, tables) becomes a code block. Elsewhere the characters that Markdown
would take for markup are escaped, so that `uint8[B, K/8]` stays a shape and `<sha256>` stays visible.
"""

import re
from typing import Any

import griffe

_MARKUP = re.compile(r"([<>\[\]*_|])")
_COLUMNS = re.compile(r"\S {3,}\S")


def to_markdown(docstring: str) -> str:
    """The docstring with its laid-out paragraphs as code blocks and all other markup escaped."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", docstring):
        lines = paragraph.splitlines()
        if any(_COLUMNS.search(line) for line in lines) or all(line.startswith("    ") for line in lines):
            indent = "" if all(line.startswith("    ") for line in lines) else "    "
            paragraphs.append("\n".join(indent + line for line in lines))
        else:
            paragraphs.append("\n".join(map(_escape, lines)))
    return "\n\n".join(paragraphs)


def _escape(line: str) -> str:
    parts = line.split("`")  # every other part is code
    return "`".join(part if i % 2 else _MARKUP.sub(r"\\\1", part) for i, part in enumerate(parts))


class Docstrings(griffe.Extension):
    """Applies `to_markdown` to every docstring of the package."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)
