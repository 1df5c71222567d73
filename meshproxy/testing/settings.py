"""The value of a setting as a strategy's ``from_config`` gets it."""

from __future__ import annotations

from meshproxy.config.documents import compose
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Setting
from meshproxy.config.yamlerrors import EXPANSION
from meshproxy.errors import ConfigError, Origin
from meshproxy.testing.memory import SHOWN_AS

_FIELD = "field"


def setting(text: str) -> Setting:
    """What ``text`` stands for where a configuration has it behind ``field:``, with its places.

    ``text`` may begin with line breaks and go on in indented lines. What a strategy warns of is then in the result's
    ``warnings``. Raises ``errors.ConfigError`` if it is no YAML.
    """
    findings = Findings()
    found = compose(f"{_FIELD}: {text}", Origin(SHOWN_AS), findings, EXPANSION).documents
    if findings.diagnostics:
        raise ConfigError(findings.diagnostics)
    (document,) = found
    node = document.get(_FIELD)
    if node is None:
        raise ValueError("a strategy is never asked about null")
    return node.as_setting()
