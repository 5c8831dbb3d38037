"""Docstrings as the house writes them: Markdown, read by the parser of the pages.

Also, code in backticks that names something of the reference becomes a link to it.
"""

import re
from collections import defaultdict
from typing import Any, ClassVar

from docutils import nodes
from docutils.utils import new_document
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

LINKED = {"module", "class", "function", "exception", "data"}


class Markdown(SphinxDirective):
    """A directive whose content is Markdown."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        source, line = self.get_source_info()
        document = new_document(source, self.state.document.settings)
        MystParser().parse("\n".join(self.content), document)
        for node in document.findall(nodes.Element):
            node.source, node.line = source, line
        return document.children


def _as_markdown(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """The first paragraph as RST, for the tables of summaries; the rest as Markdown."""
    text = "\n".join(lines).strip()
    if not text:
        return
    first, _, rest = text.partition("\n\n")
    lines[:] = [*_as_rst(first).splitlines(), ""]
    if rest:
        lines += [".. markdown::", "", *(f"   {x}" for x in rest.splitlines()), ""]


def _as_rst(paragraph: str) -> str:
    """Words, `code` and $mathematics$."""
    found = []
    for index, part in enumerate(re.split(r"(`[^`]+`|\$[^$]+\$)", paragraph)):
        if index % 2 == 0:
            found.append(re.sub(r"([\\*|_`])", r"\\\1", part))
        elif part[0] == "`":
            found.append(rf"\ `{part}`\ ")
        else:
            found.append(rf"\ :math:`{part[1:-1]}`\ ")
    return "".join(found)


class Links(SphinxPostTransform):
    """`module.function` in a text leads to the reference, where it is no other's."""

    default_priority = 5
    formats: ClassVar[tuple[str, ...]] = ("html", "dirhtml")

    def run(self, **kwargs: Any) -> None:
        objects = self.env.domains.python_domain.objects
        found = _by_ending(objects)
        here = self.env.current_document.docname
        for node in list(self.document.findall(nodes.literal)):
            name = node.astext().removesuffix("()")
            ways = found.get(name, ())
            if len(ways) != 1 or isinstance(node.parent, nodes.reference):
                continue
            (full,) = ways
            entry = objects[full]
            link = make_refnode(
                self.app.builder, here, entry.docname, entry.node_id, [], full
            )
            node.parent.replace(node, link)
            link.append(node)


def _by_ending(objects: Any) -> dict[str, set[str]]:
    """Full names by each of their endings of two parts and more; classes by one."""
    found: dict[str, set[str]] = defaultdict(set)
    for full, entry in objects.items():
        parts = full.split(".")
        if entry.objtype not in LINKED or parts[0] != "genlat":
            continue
        shortest = 1 if parts[-1][:1].isupper() else 2
        for length in range(shortest, len(parts) + 1):
            found[".".join(parts[-length:])].add(full)
    return found


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("markdown", Markdown)
    app.connect("autodoc-process-docstring", _as_markdown)
    app.add_post_transform(Links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
