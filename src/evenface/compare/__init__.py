"""A grid of losses x seeds x settings over one recipe, and the table that it ends with.

- `config`: the comparison file.
- `cells`: the runs of the grid, each in a folder of its own, and which of them are done.
- `runner`: the runs as processes, several at once.
- `statistics`: mean, deviation, paired difference with its interval.
- `table`: the numbers of the table; `text`, `files`, `page`: the table in the terminal and in Markdown, as
  CSV, as an HTML page.
- `command`: `evenface compare`.
"""
