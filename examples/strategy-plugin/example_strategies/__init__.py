"""Strategies for meshproxy: sessions by a claim of a token, and rendezvous hashing."""
