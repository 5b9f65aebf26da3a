"""What `benchmarks/frontier.py` compares: problems, ways to a small network, tables and pictures."""
