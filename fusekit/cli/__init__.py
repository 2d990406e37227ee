"""The command line: parse, call the API, render. Imports torch only inside the commands that need it."""
