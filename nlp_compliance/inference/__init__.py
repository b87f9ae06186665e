"""Model bundles and the runtimes that score with them."""
