"""How many descriptors the process may have: each connection takes one."""

from __future__ import annotations

import resource

from twisted.logger import Logger

from meshproxy.net.addresses import reason

ENOUGH = 2**20
FEW = 4096
"""Below this a gateway soon has no room for clients."""

_log = Logger()


def raise_descriptor_limit() -> int:
    """Raise the soft limit to the hard one, or to ``ENOUGH``; children inherit it. Returns what it is in the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return soft
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError) as error:
            _log.warn("The limit on descriptors stays at {soft}: {why}", soft=soft, why=reason(error))
    if soft < FEW:
        _log.warn("Only {soft} descriptors, and so fewer connections, may be open: raise the hard limit", soft=soft)
    return soft
