"""Code that several formats of one provider share: OpenAI's and Ollama's."""
