"""Steps, content-addressed artifacts, the plan and the report."""

from groundup.pipeline.runner import Pipeline
from groundup.pipeline.steps import Context, RunResult, Step, StepPlan, StepRecord
from groundup.pipeline.store import Artifact, Store

__all__ = ["Artifact", "Context", "Pipeline", "RunResult", "Step", "StepPlan", "StepRecord", "Store"]
