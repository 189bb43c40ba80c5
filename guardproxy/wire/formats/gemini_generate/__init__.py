"""The wire format Gemini generateContent."""
