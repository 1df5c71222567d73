"""``twistd --reactor lean``: the reactor that meshproxy uses by itself."""

from twisted.application.reactors import Reactor

lean = Reactor("lean", "meshproxy.net.lean_reactor", "epoll(7) without a logging context around each event.")
