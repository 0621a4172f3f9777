"""How `make site` builds build/site of README and docs, which reference/site.py has staged."""

project = "amazon-defender-publisher"
extensions = ["myst_parser"]
root_doc = "README"
html_theme = "furo"
html_title = project
myst_heading_anchors = 3  # links such as page.md#a-heading
suppress_warnings = ["toc.not_included", "myst.xref_missing"]  # two indexes; files are not pages
