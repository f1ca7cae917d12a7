"""This host as a target of the conformance suite: cases in, results out. docs/conformance.md is the contract."""
