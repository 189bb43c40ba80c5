"""What the tests share: exchanges played by hand, streams, policies, faults and counts."""
