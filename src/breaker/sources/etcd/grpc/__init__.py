"""etcd through gRPC, by the package ``etcd3``."""
