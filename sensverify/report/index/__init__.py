"""An index of a folder of reports: results and pages below it, in one table."""
