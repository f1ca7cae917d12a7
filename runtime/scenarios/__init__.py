"""Scenarios: stories that a program goes through, as files that are played on a host. docs/scenarios.md is normative.

What lives here: reading them (scenario.py), what an answer is held against (patterns.py), the world around the host
(world.py, network.py), playing (player.py) and the places where they are played (stage.py and its kinds). What must
not live here: a rule of the host. A scenario meets the same limits, checks and money as any caller.
"""
