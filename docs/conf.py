"""The site: `make docs` builds it without network into docs/_site, and its pages load nothing from elsewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, List

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "made"), str(HERE.parent)]

import messages  # noqa: E402
import options  # noqa: E402

import caffe_fuse  # noqa: E402

project = "caffe_fuse"
version = release = caffe_fuse.__version__
author = copyright = "the authors of caffe_fuse"
extensions = ["myst_parser"]
exclude_patterns = ["_site"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"caffe_fuse {version}"
html_show_sphinx = False
html_copy_source = False
html_search_scorer = str(HERE / "made" / "scorer.js")
# Options begin with two hyphens.
smartquotes = False
# Lines of a console and Python have colours, other blocks have none.
highlight_language = "none"

# A comment with the name of one of these in a page stands for what is made, or for the file of the project.
MADE = {"messages": messages.lists, "options": options.tables}
OWN = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}


def completed(_: Any, __: str, source: List[str]) -> None:
    """Puts into a page what it stands for, and leads links to files of the project to their pages."""
    text = source[0]
    for name, make in MADE.items():
        if f"<!-- {name} -->" in text:
            text = text.replace(f"<!-- {name} -->", make())
    for name in OWN:
        if f"<!-- {name} -->" in text:
            text = text.replace(f"<!-- {name} -->", (HERE.parent / name).read_text(encoding="utf-8"))
            text = text.replace("](docs/", "](")
    for name, page in OWN.items():
        text = re.sub(rf"\]\((?:\.\./)?{re.escape(name)}", f"]({page}", text)
    source[0] = text


def setup(app: Any) -> None:
    app.connect("source-read", completed)
