"""What several experiments share: data sets, networks and outer optimisers."""
