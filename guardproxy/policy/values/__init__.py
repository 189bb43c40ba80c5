"""The values that policy files hold, actions included: one frozen type for each, with its order of strictness."""
