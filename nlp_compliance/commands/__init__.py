"""Commands of the command line, one module a subject; `cli` puts them together."""
