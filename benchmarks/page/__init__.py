"""The report as Markdown, as a page with plots, and as the picture of the README."""
