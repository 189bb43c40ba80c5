"""The wire formats OpenAI Embeddings and Moderations: requests with an input, answers without texts."""
