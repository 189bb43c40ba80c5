"""The wire format of Acme's models: JSON requests, answers as JSON or as lines of JSON."""
