"""Tables of a comparison for a terminal, a page, a paper or a spreadsheet."""
