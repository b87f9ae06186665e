"""`python -m nlp_compliance` is the command line."""

from nlp_compliance.cli import main

if __name__ == "__main__":
    main()
