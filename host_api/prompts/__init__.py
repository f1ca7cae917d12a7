"""Prompts: what a program may have its user asked, and how the answer gets back. No concrete service is known here."""
