"""The wire formats OpenAI Embeddings and Moderations."""
