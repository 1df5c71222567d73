"""Configuration: YAML files to an immutable snapshot."""

from meshproxy.config.compile import load
from meshproxy.config.sources import read

__all__ = ["load", "read"]
