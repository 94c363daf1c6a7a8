"""The command line: a demo, a request, a token."""
