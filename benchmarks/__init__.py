"""One file a subject, all in one run (`python -m benchmarks`), so that what is compared was measured together.

Nothing here is imported by the host, and nothing here fails for being slow: figures are printed beside their bars.
"""
