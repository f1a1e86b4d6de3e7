"""The ledger: versions, pointer, workers, verdicts, alerts, runs, leases and audit, in one SQL database."""
