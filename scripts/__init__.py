"""Programs for maintainers; nothing of the platform imports them."""
