"""One file a rule: ``run(...) -> Manifest``; orchestration only."""
