"""meshproxy: an HTTP gateway that reads Istio's networking YAML and balances as Envoy does.

Importing the package imports neither the reactor nor any strategy.
"""

from meshproxy._version import __version__

__all__ = ["__version__"]
