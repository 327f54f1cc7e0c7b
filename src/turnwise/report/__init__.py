"""Run artifacts to one offline HTML file."""
