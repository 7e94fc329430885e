"""The command line: thin commands that parse, call the session and print."""
