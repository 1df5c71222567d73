"""A sticky session to look at: three sample replicas and a gateway before them.

``python -m meshproxy.demo`` runs them as processes, ``twistd -n meshproxy --demo`` within one.
"""
