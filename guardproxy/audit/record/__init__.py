"""The values of the audit log and their forms: records, entries, lines, and the versions of all of them."""
