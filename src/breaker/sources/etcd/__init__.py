"""Policies in etcd.

`source` is what programs use; `follow` the loop; `gateway` (over `http`) and `client` (over `channel`, `calls` and
`stream`, by `protobuf`) the two ways to speak with a server; `wire` what loop and transports say to each other;
`refusals` what the server's errors mean.
"""

from breaker.sources.etcd.source import EtcdSource, StoredPolicy

__all__ = ["EtcdSource", "StoredPolicy"]
