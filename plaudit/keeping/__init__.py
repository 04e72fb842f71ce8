"""Backup and restore: store, event log, registry, adapters and reward models, in one folder with a manifest."""
