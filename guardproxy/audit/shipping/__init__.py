"""`audit ship`: reads a log and sends its lines to other systems, each at least once."""
