"""Objectives, optimizers, schedules, the loop and its checkpoints."""
