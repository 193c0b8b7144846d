"""Deblur many pairs: a tree of folders, or what a manifest lists, into an output folder with the same tree.

Maps of each pair can be written too, or alone. Three steps, each usable alone: `list_jobs` finds the pairs,
`plan_jobs` says what is to be done for each, and `run_jobs` does it. A picture that fails is reported, and the others
go on. All that is known about finished pictures is in the journal, so a run that was killed at any moment continues
where it was.
"""

from dualpix.inference.batch.jobs import PairJob, Shard, list_jobs
from dualpix.inference.batch.journal import JournalError
from dualpix.inference.batch.report_parts import ReportParts
from dualpix.inference.batch.running import Outcome, run_jobs
from dualpix.inference.batch.steps import Step, open_weights, plan_jobs
from dualpix.inference.batch.worker import Deblur
from dualpix.inference.batch.worker_journals import gather_journals
from dualpix.inference.maps import Maps

__all__ = [
    "Deblur",
    "JournalError",
    "Maps",
    "Outcome",
    "PairJob",
    "ReportParts",
    "Shard",
    "Step",
    "gather_journals",
    "list_jobs",
    "open_weights",
    "plan_jobs",
    "run_jobs",
]
