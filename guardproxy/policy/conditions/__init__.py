"""What a condition sees and says: names, matches, CEL, expressions over findings."""
