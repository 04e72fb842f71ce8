-- Runs once, on an empty volume: the registry has a database of its own, beside the store.
CREATE DATABASE mlflow;
