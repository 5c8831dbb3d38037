"""How `make docs` builds the site. Warnings are errors there."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE / "_ext"), str(ROOT / "src")]

import genlat  # noqa: E402

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

# Pages that were made of modules which are there no more
for page in (HERE / "api").glob("genlat.*.rst"):
    module = ROOT.joinpath("src", *page.stem.split("."))
    if not (module.is_dir() or module.with_suffix(".py").exists()):
        page.unlink()

# Markdown: anchors of headings as GitHub makes them, `$` is mathematics
myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_inline"]
myst_heading_anchors = 4

# The reference is made from docstrings and the annotations beside them
autosummary_generate = True
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
