"""``consistentHash.useSourceIp``: sessions by the client's address."""

from meshproxy.plugin import HashKeyPlugin

use_source_ip = HashKeyPlugin("useSourceIp", "meshproxy.strategies.use_source_ip:from_config")
