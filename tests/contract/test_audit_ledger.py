"""AuditLedger: lines in the order they were written, the newest first."""

from lifecycle.ports import AuditLedger


def test_lines_are_appended_and_read_newest_first(any_ledger: AuditLedger) -> None:
    any_ledger.audit(10, "ann", "promote", {"version": 1})
    any_ledger.audit(5, "bob", "rollback", {"version": 2})
    trail = any_ledger.audit_trail()
    assert [(line["actor"], line["action"], line["detail"]) for line in trail] == [
        ("bob", "rollback", {"version": 2}),
        ("ann", "promote", {"version": 1}),
    ]
    assert len(any_ledger.audit_trail(limit=1)) == 1
