"""The command ``meshproxy``: it looks at configurations and never serves."""
