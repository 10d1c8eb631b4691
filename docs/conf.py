"""Sphinx configuration; what can be derived from the code is written by generate.py before each build."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

import generate  # noqa: E402

import vaezoo  # noqa: E402

project = "vaezoo"
author = "the vaezoo contributors"
html_show_copyright = False
release = version = vaezoo.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "reference/_*", "results/*"]
default_role = "code"
autodoc_inherit_docstrings = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_custom_sections = []
html_theme = "furo"
html_title = "vaezoo"


def setup(app):
    app.connect("builder-inited", lambda _: generate.reference())
