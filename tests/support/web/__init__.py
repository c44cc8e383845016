"""Applications of every framework behind real servers, and a client that sees what is on the wire."""
