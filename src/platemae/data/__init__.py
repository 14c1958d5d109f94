"""Training crops from the plate stores, and the folder that keeps a training between its jobs."""
