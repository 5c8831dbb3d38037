"""`genlat list` as a page: every section of a run file, every name it may contain."""

from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.utils import new_document
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from genlat.runs.file import listing, sections


class Fields(SphinxDirective):
    """`{fields} sections` or `{fields} names`: tables of what `genlat list` prints."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        wanted = {"names": listing.TOPICS, "sections": sections.SECTIONS}
        topics = wanted[self.arguments[0]]
        text = "\n".join(line for topic in topics for line in _tables(topic))
        document = new_document(self.get_source_info()[0], self.state.document.settings)
        MystParser().parse(text, document)
        return document.children


def _tables(topic: str) -> Iterator[str]:
    for title, rows in listing.tables(topic):
        yield from (f"**{_plain(title)}**", "", "| name | is |", "|---|---|")
        for name, text in rows.items():
            yield f"| `{name}` | {_plain(text)} |"
        yield ""


def _plain(text: str) -> str:
    """Text that Markdown leaves alone."""
    for sign in "\\|*_<>[]$":
        text = text.replace(sign, f"\\{sign}")
    return text


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("fields", Fields)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
