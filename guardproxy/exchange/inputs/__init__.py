"""What an exchange gets and how the request is prepared: its setting, transcript, prompts, cached answers, sealed ids."""
