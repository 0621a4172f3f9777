"""Shows what Detect found in a browser: pages made on the server, from a store that is only read."""
