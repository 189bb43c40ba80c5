"""Policy files as YAML: positions, readers of values, templates."""
