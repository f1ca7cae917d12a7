"""Calls recorded as they cross the sandbox's border, and run again against the record.

record.py: what is written down, and the file. tape.py: how a call is recorded. replay.py: how it is run again.
"""
