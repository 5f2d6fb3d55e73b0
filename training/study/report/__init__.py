"""The report of a data-size study: an HTML page, the same as Markdown, plots, and numbers for programs."""
