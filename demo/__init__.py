"""What `make demo` and the tests need besides the two programs."""
