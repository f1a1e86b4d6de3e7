"""Processes that open a new ledger at the same moment all find it migrated, whoever of them does it."""

import subprocess
import sys
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from lifecycle.ledger.connect import open_engine
from lifecycle.ledger.schema import metadata
from lifecycle.ledger.sql import SqlLedger

MIGRATE = """
import sys
from pathlib import Path
from lifecycle.ledger.connect import migrate, open_engine
engine = open_engine("sqlite:///ledger.db", Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
migrate(engine)
"""


def test_processes_that_migrate_at_once_all_succeed(tmp_path: Path) -> None:
    program = [sys.executable, "-c", MIGRATE, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(program, text=True, **pipes) for _ in range(3)]  # type: ignore[call-overload]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    with open_engine("sqlite:///ledger.db", tmp_path).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_current_database_is_opened_without_loading_the_migration_tool(tmp_path: Path) -> None:
    SqlLedger("sqlite:///ledger.db", tmp_path).close()
    program = "import sys\nfrom pathlib import Path\nfrom lifecycle.ledger.sql import SqlLedger\n"
    program += "SqlLedger('sqlite:///ledger.db', Path(sys.argv[1]))\nprint('alembic' in sys.modules)\n"
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
