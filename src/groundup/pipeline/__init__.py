"""Steps, content-addressed artifacts, the plan and the report."""
