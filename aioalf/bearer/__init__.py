"""A request with a Bearer token on it (RFC 6750): sent, and once more after a 401."""
