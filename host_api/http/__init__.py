"""http.fetch: requests of programs to hosts outside, as far as they were granted. Everything that leaves goes here."""
