"""The control protocol: what clients ask of a running host. docs/protocol.md §15.

What lives here: one declaration for each method, the frames around messages, and how errors travel. Server
(runtime/daemon/control), client (runtime/client.py), docs/control.md and its schema are made of the declarations. What
must not live here: sockets, clocks, tasks.
"""
