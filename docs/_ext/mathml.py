"""Mathematics as MathML, made when the site is built: no script, no network."""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

_SIDES = {"[": "left", "(": "left", r"\langle": "left"}  # the others close
_LOGGER = logging.getLogger(__name__)


def _mathml(node: nodes.Element, *, is_block: bool) -> str:
    tex = re.sub(r"\\Big\s*(\\[a-z]+|.)", _sided, node.astext().strip())
    try:
        return latex2mathml.tex2mathml(tex, as_block=is_block)
    except Exception as error:
        _LOGGER.warning("no MathML of %r: %s", tex, error, location=node)
        return ""


def _sided(found: re.Match[str]) -> str:
    """A bracket that grows with what it holds: `\\Big` is not known to docutils."""
    return rf"\{_SIDES.get(found[1], 'right')}{found[1]}"


def _inline(writer: Any, node: nodes.Element) -> None:
    writer.body.append(_mathml(node, is_block=False))
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.Element) -> None:
    writer.body.append(f'<div class="math">{_mathml(node, is_block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Offer the renderer `mathml` to `html_math_renderer`."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
