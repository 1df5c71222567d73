"""Configuration: YAML files to an immutable snapshot."""

from meshproxy.config.compile import Loader, load
from meshproxy.config.sources import read

__all__ = ["Loader", "load", "read"]
