"""What every wire format says of itself."""
