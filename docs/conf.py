"""How Sphinx builds these pages: ``make docs``, with warnings as errors."""

from meshproxy import __version__

project = "meshproxy"
author = "the meshproxy project"
release = version = __version__
extensions = ["myst_parser"]
exclude_patterns = ["build"]
html_theme = "furo"
html_title = f"meshproxy {release}"
html_show_copyright = False
html_show_sphinx = False
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]
