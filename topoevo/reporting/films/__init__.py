"""Networks at work: pictures of every moment, one simulation a file, and where they are shown."""
