"""Many documents through one checker."""
