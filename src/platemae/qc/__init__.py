"""Quality control: arrays in, tables out."""
