"""One valid token, whatever the flow: cached, shared, renewed ahead, fetched once. Nothing of HTTP."""
