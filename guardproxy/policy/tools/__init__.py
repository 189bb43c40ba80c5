"""What reviewers and operators ask of policies: lint, tenants, coverage, costs."""
