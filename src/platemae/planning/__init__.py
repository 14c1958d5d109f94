"""What a run will cost before it is submitted, and what it did cost afterwards."""
