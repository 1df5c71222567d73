"""The bundled strategies. Each module is reached through its declaration in ``twisted/plugins``, as a third party's is.

The modules here import only what a third party may: layers 0 to 2 of meshproxy (see ``docs/architecture.md``).
"""
