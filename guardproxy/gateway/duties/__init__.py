"""The duties, one file each, and their order: each admits a request by its head, plans where it goes, or counts its
usage."""
