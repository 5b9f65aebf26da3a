"""What the command line does, one family of commands a file."""
