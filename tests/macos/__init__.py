"""A Mac as far as its installer can tell: stub executables below a directory, and the traps of BSD's tools."""
