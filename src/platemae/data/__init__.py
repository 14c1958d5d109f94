"""Training crops from the plate stores: which crop, where from, and in time."""
