"""``consistentHash.httpQueryParameterName``: sessions by a parameter of the query."""

from meshproxy.plugin import HashKeyPlugin

http_query_parameter_name = HashKeyPlugin(
    "httpQueryParameterName", "meshproxy.strategies.http_query_parameter_name:from_config"
)
