"""What checks declare and share: the contract, options, foreign words for them, and lists of allowed values."""
