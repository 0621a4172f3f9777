"""What `make dist` builds: the release tar, and a wheelhouse for devices without a network."""
