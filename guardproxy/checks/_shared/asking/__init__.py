"""Questions to a model that judges a text: what it is asked, and what counts as its answer."""
