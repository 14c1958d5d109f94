"""What is shown of a training while it runs: a page, and its cost. No result depends on it; its code stales nothing."""
