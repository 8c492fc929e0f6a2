"""The command line: thin shells around plain functions, and the only place where config becomes objects."""
