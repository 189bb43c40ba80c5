"""What a model folder holds: its files, its configuration, its tokens and spans."""
