"""What a text is about: the direction of a topic among vectors, and the pieces of a text that are judged."""
