"""What is said to an authorization server, and what its answers mean. Pure: no I/O."""
