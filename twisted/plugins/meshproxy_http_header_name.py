"""``consistentHash.httpHeaderName``: sessions by a request header."""

from meshproxy.plugin import HashKeyPlugin

http_header_name = HashKeyPlugin("httpHeaderName", "meshproxy.strategies.http_header_name:from_config")
