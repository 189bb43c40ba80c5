"""Prices of models, from policies, the file of limits or genai-prices, and the cost of an exchange."""
