"""What is written about an exchange: its record, the masked texts in it, the receipt, and questions for the LLM judge."""
