"""What is written about an exchange: its record, masked texts, receipts, questions for judges."""
