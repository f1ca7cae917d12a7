"""The conformance suite: cases as data, and what plays them against any host. It knows nothing of the one it judges."""
