"""Taint: which parts of a tool call's arguments came from results of tools and documents."""
