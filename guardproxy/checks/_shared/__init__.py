"""What checks share: their declarations, and how they read texts."""
