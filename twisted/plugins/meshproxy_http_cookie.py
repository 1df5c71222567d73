"""``consistentHash.httpCookie``: sessions by a cookie, which the gateway can set."""

from meshproxy.plugin import HashKeyPlugin

http_cookie = HashKeyPlugin("httpCookie", "meshproxy.strategies.http_cookie:from_config")
