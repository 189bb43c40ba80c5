"""Policies before and after: what their files say differently, and what that does to recorded traffic.

policies.py   two sets of policies -> changes, in words, and what each does to protection
options.py    the same for one check's options
traffic.py    records, run again under both -> which exchanges change, by rule, with examples
excerpts.py   a text of a record around what was found in it
html.py       all of that as one page
"""
