"""Who asks: clients, their credentials and tokens."""
