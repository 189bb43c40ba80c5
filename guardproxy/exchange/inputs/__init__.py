"""What an exchange is given: its setting, the transcript of inputs and commands, ids, cached answers."""
