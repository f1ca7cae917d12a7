"""The open platform's ladder: developers and their keys, uploads, reviews, releases, and the programs they make."""
