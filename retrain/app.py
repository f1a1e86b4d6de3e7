"""The composition root of the retrain job: one project's stores, contract and trainer behind a `Job`."""

from lifecycle.project import Project
from retrain.job import Job
from retrain.trainer import FileTrainer


def job(project: Project) -> Job:
    """The job of `project`. Raises ProjectInvalid when its contract cannot be read."""
    return Job(
        ledger=project.ledger,
        store=project.store,
        tables=project.tables,
        clock=project.clock,
        config=project.config,
        contract=project.contract(),
        trainer=FileTrainer(project.path / project.config.model.trainer),
    )
