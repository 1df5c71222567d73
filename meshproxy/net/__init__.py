"""Transports and the reactor: Twisted's own, less what costs too much on each event."""
