"""What is said of a plugin's failure: the last line of its traceback, and the place in the plugin.

A place in meshproxy, or in a library that the plugin calls, helps nobody who has to mend the plugin. So the place is
the innermost one in the package in which foreign code was entered.
"""

from __future__ import annotations

from traceback import format_exception_only, walk_tb

PLUGIN_ERRORS = (Exception, SystemExit)
"""What is taken for a failure of a plugin that is called. That it asks to leave must not end the process."""

_BUNDLED = "meshproxy.strategies."
_CORE = ("meshproxy", "importlib", "_frozen_importlib", "_frozen_importlib_external", "zope")


def describe_failure(error: BaseException) -> str:
    """Such as ``KeyError: 'claim' (/srv/example_jwt/claim.py:12)``; without a place where no foreign code failed."""
    line = " ".join(format_exception_only(error)[-1].split())
    place = _place(error)
    return f"{line} ({place})" if place else line


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    package = place = ""
    for frame, line in walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        top = module.partition(".")[0]
        if not package and (module.startswith(_BUNDLED) or top not in _CORE):
            package = top
        if package and top == package:
            place = f"{frame.f_code.co_filename}:{line}"
    return place
