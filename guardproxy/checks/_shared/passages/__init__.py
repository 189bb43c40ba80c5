"""Passages: cuts a growing text into parts that are judged one by one, each as soon as it is complete."""
