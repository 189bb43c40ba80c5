"""Tests of policies: a scene of a policy file, played through an exchange at several cuts, beside what was expected.

policy/trial.py   what a file says
scenes.py         a scene -> the bytes of its request and of its answers, cut by a seed
playing.py        bytes -> an exchange -> what became of them
judging.py        that, beside what was expected -> faults
running.py        all tests of all policies; the rules that none of them exercises
junit.py          results -> XML for CI
"""
