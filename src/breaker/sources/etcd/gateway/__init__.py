"""etcd through its JSON gateway: HTTP and TLS by the standard library alone."""
