"""The sections of the page, one file each with its template piece beside it. `latentbench.report.section` says what a
section is and how to add one; what several of them share stands outside of this package."""
