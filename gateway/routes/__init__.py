"""The routes, one module a resource: decode, call the client, encode."""
