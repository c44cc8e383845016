"""Real etcd servers for tests, faults for them, and providers that must follow them."""
