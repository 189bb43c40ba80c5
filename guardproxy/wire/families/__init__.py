"""What formats of one family share."""
