"""What `bench.tables` makes of the records: tables in Markdown, plots in SVG, and who wins each row."""
