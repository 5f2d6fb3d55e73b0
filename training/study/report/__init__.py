"""The report of a data-size study: one page to act on, and the same as Markdown, plots and numbers."""
