"""Sources to a training corpus: extraction, filters, duplicates, contamination, mixture, token shards, manifest."""
