"""Annotations of known biology: where they lie, under which terms, and as which table they are written."""
