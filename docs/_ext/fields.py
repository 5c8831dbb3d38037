"""`genlat list` as a page: every section of a run file, every name it may contain."""

import inspect
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.utils import new_document
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import genlat
from genlat.runs.file import listing, sections


class Fields(SphinxDirective):
    """`sections` or `names`: what `genlat list` prints; `public`: what `gl` has."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        wanted = self.arguments[0]
        topics = {"names": listing.TOPICS, "sections": sections.SECTIONS}
        lines = (
            _public()
            if wanted == "public"
            else (line for topic in topics[wanted] for line in _tables(topic))
        )
        text = "\n".join(lines)
        document = new_document(self.get_source_info()[0], self.state.document.settings)
        MystParser().parse(text, document)
        return document.children


def _tables(topic: str) -> Iterator[str]:
    for title, rows in listing.tables(topic):
        yield from (f"**{_plain(title)}**", "", "| name | is |", "|---|---|")
        for name, text in rows.items():
            yield f"| `{name}` | {_plain(text)} |"
        yield ""


def _public() -> Iterator[str]:
    """Every name of `genlat`, and where in the reference it stands."""
    yield from ("| name | is |", "|---|---|")
    for name in sorted(genlat.__all__):
        found = getattr(genlat, name)
        if inspect.ismodule(found):
            yield f"| `gl.{name}` | `{found.__name__}` |"
        elif hasattr(found, "__qualname__"):
            yield f"| `gl.{name}` | `{found.__module__}.{found.__qualname__}` |"


def _plain(text: str) -> str:
    """Text that Markdown leaves alone."""
    for sign in "\\|*_<>[]$":
        text = text.replace(sign, f"\\{sign}")
    return text


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("fields", Fields)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
