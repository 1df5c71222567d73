"""What the data path counts: plain integers, read by the metrics page when it is asked."""

from __future__ import annotations


class Counters:
    """Totals since the process began, and gauges ending in ``_active``."""

    __slots__ = (
        "access_log_dropped_total",
        "bytes_received_total",
        "bytes_sent_total",
        "connections_active",
        "connections_refused_total",
        "connections_total",
        "faults_aborted_total",
        "faults_delayed_total",
        "local_replies_total",
        "mirrors_active",
        "mirrors_dropped_total",
        "mirrors_total",
        "protocol_errors_total",
        "requests_active",
        "requests_total",
        "responses_1xx",
        "responses_2xx",
        "responses_3xx",
        "responses_4xx",
        "responses_5xx",
        "strategy_errors_total",
        "stream_idle_timeouts_total",
        "tunnels_active",
        "tunnels_total",
        "upstream_connect_failures_total",
        "upstream_connections_active",
        "upstream_connections_total",
        "upstream_replays_total",
        "upstream_retries_total",
        "upstream_timeouts_total",
    )

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    access_log_dropped_total: int
    bytes_received_total: int
    bytes_sent_total: int
    connections_active: int
    connections_refused_total: int
    connections_total: int
    faults_aborted_total: int
    faults_delayed_total: int
    local_replies_total: int
    mirrors_active: int
    mirrors_dropped_total: int
    mirrors_total: int
    protocol_errors_total: int
    requests_active: int
    requests_total: int
    responses_1xx: int
    responses_2xx: int
    responses_3xx: int
    responses_4xx: int
    responses_5xx: int
    strategy_errors_total: int
    stream_idle_timeouts_total: int
    tunnels_active: int
    tunnels_total: int
    upstream_connect_failures_total: int
    upstream_connections_active: int
    upstream_connections_total: int
    upstream_replays_total: int
    upstream_retries_total: int
    upstream_timeouts_total: int
