"""What nodes say to each other: ``cluster.proto`` and what its compiler writes (``make proto``)."""
