"""What train_model does: make a model, describe it, and write its files."""
