"""A real HTTP server with faults, and the clients that are tested against it."""
