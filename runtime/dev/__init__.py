"""The daemon as a developer has it: on a project's folder, with users, money and a network of the project's own.

watch.py: what changed. project.py: what is installed, and in which world. serve.py: the daemon, and the reload.
"""
