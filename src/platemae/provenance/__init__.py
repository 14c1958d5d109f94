"""What a run was, for people and other tools: run record, RO-Crate, methods text. No rule reads any of it."""
