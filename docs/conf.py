"""How Sphinx builds these pages: ``make docs``, with warnings as errors."""

from docutils import nodes

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
# Pages that are manual pages as well: the page, its name, what it is about, its section.
man_pages = [
    (page, name, about, [author], section)
    for page, name, about, section in (
        (
            "reference/command-line",
            "meshproxy",
            "serve Istio's networking YAML: command lines, statuses, signals",
            1,
        ),
        ("check", "meshproxy-check", "print all that is wrong with a configuration, or has no effect", 1),
        ("explain", "meshproxy-explain", "tell where a request goes, and why", 1),
        ("diff", "meshproxy-diff", "tell what a change does to requests and sessions", 1),
        ("distribution", "meshproxy-distribution", "tell how evenly sessions are spread over endpoints", 1),
        ("status", "meshproxy-status", "tell what a running gateway serves, and in which state", 1),
        ("drain", "meshproxy-drain", "take an endpoint out of service", 1),
        ("operating", "meshproxy-operating", "run a gateway: processes, signals, reload, stop", 7),
        ("strategies", "meshproxy-strategies", "load-balancing strategies and the interfaces of plugins", 7),
        ("security", "meshproxy-security", "what a gateway does against attacks, and what it does not", 7),
    )
]
suppress_warnings = ["misc.highlighting_failure"]


def _without_links(app, doctree, docname):
    """On paper, a link to another page is nothing but noise."""
    if app.builder.format == "man":
        for link in list(doctree.findall(nodes.reference)):
            if not link.get("refuri", "").startswith("http"):
                link.replace_self(link.children)


def setup(app):
    """Sphinx calls this."""
    app.connect("doctree-resolved", _without_links)
