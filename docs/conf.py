"""The site: ``nox -s docs`` builds it, with warnings as errors and without the network."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import dftlrp

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # landing.py, figures.py
sys.path.insert(0, str(HERE.parent / "examples" / "tutorials"))  # what they share
sys.modules["dftlrp.metrics"] = dftlrp.metrics  # the name under which its functions are described

project = "dftlrp"
author = "The dftlrp developers"
project_copyright = f"2026, {author}"
version = release = dftlrp.__version__
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinx-mathjax-offline",
    "landing",
]
exclude_patterns = ["_build"]
templates_path = ["templates"]
default_role = "py:obj"  # `attribute` in a docstring is a link

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3  # [a section](page.md#its-heading), as where the repository is shown

autosummary_generate = True
autodoc_typehints = "none"  # docstrings say them, with shapes and units
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": ["../examples/tutorials"],
    "gallery_dirs": ["tutorials"],
    "filename_pattern": r"/\d\d_",
    "ignore_pattern": r"^(?!\d\d_).*\.py$",  # what tutorials share
    "within_subsection_order": "FileNameSortKey",
    "capture_repr": ("_repr_html_", "__repr__"),
    "ignore_repr_types": "Figure",
    "image_scrapers": ("matplotlib", "figures.show_last_value"),
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,  # its page asks for scripts elsewhere
    "default_thumb_file": str(HERE / "seven.png"),
}

html_theme = "furo"
html_title = "dftlrp"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_sourcelink = False
html_copy_source = False

MARKS = re.compile(r"\||(?<=[ (])\*(?=[\w.]+[,)])")  # of |R| and (..., *shape)
PAGES = re.compile(r"`*\bdocs/([\w/]+)\.md\b`*")


def read_plainly(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Have the maths of a docstring shown as it is written, and the pages that it names linked."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...", "..")):
            parts = re.split(r"(``.+?``|:math:`.+?`)", PAGES.sub(r":doc:`/\1`", line))
            lines[i] = "".join(
                p if p[:1] in {"`", ":"} else MARKS.sub(r"\\\g<0>", p) for p in parts
            )


def setup(app: Any) -> None:
    """Do so before numpydoc reads them."""
    app.connect("autodoc-process-docstring", read_plainly, priority=400)
