"""Tables, verdicts in words and the HTML page: everything is read from results, no metric is computed here."""
