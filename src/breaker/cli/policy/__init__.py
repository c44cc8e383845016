"""The command `breaker policy`: documents in a directory or in etcd, read, changed, compared, watched and validated."""
