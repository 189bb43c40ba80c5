"""The phases of an exchange (request, parallel checks, answer), the stages that policy sections add to them, and the
states."""
