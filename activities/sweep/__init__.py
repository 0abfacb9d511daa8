"""The sweep: find what has lost what it belongs to; repair or delete on positive evidence."""
