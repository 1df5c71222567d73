"""HTTP: the protocols of both sides, header rules, and the exchange between them."""
