"""FoldLedger: the last status, as it was saved."""

from dataclasses import replace

from lifecycle.ports import FoldLedger
from lifecycle.records import FoldStatus


def test_the_last_status_is_kept(any_ledger: FoldLedger) -> None:
    assert any_ledger.fold_status() is None
    status = FoldStatus(1, 2, 3, 4, 5, 6, 7, corrupt_frames=8, parked_labels=9, orphaned_labels=2**40)
    any_ledger.save_fold(status)
    any_ledger.save_fold(replace(status, folded_rows=50))
    assert any_ledger.fold_status() == replace(status, folded_rows=50)
