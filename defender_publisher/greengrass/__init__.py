"""On a Greengrass core: reports through the nucleus, by Greengrass IPC; imported with `--greengrass` alone."""
