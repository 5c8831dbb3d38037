"""How `make docs` builds the site. Warnings are errors there."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE / "_ext"), str(ROOT / "src")]

import genlat  # noqa: E402  # of this tree, not one that is installed

project = "genlat"
author = "the genlat authors"
project_copyright = author
release = genlat.__version__
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "docstrings",
    "fields",
    "mathml",
]
exclude_patterns = ["_build", "_ext", "_templates"]
templates_path = ["_templates"]

# Markdown: anchors of headings as GitHub makes them, `$` is mathematics
myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_inline"]
myst_heading_anchors = 4

# The reference is made from docstrings and the annotations beside them
autosummary_generate = True
# A page for each package, with all of its modules: one for each module takes four times
# as long to build, for every page has the whole tree
PACKAGES = [
    ".".join(path.parent.relative_to(ROOT / "src").parts)
    for path in sorted((ROOT / "src/genlat").rglob("__init__.py"))
]
autosummary_context = {"packages": PACKAGES}
for page in (HERE / "api").glob("genlat.*.rst"):  # of what is there no more
    if page.stem.count(".") > 1 and page.stem not in PACKAGES:
        page.unlink()
autosummary_ignore_module_all = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"show-inheritance": True}
add_module_names = False
python_maximum_signature_line_length = 78
toc_object_entries_show_parents = "hide"
# Types of JAX, NumPy and the like have no page here; our own are links
nitpick_ignore_regex = [("py:.*", ".*")]

math_numfig = False
html_math_renderer = "mathml"  # by the browser itself: no script, no network
html_theme = "furo"
html_title = f"genlat {release}"
html_static_path = ["_static"]
html_css_files = ["house.css"]
html_copy_source = False
html_show_sphinx = False
copybutton_exclude = ".linenos, .gp, .go"
