"""The collectors: each looks at one thing the device knows about itself, and its failure is its own."""
