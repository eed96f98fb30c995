"""What broker, gateway and command line share about this machine: paths, the config file, keys on disk, logs."""
