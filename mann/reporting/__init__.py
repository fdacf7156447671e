"""Tables, pictures and the HTML report.

accuracy:        accuracy by instance: table, plot, training curves
few_shot_table:  N-way K-shot accuracy: table and plot
task_figures:    the algorithmic tasks: cost against size, training curves, sequences
access_plot:     writes, reads and content of memory in a task's sequence, as figure 6 of Graves et al. 2014
binding_plot:    the classes that slots are bound to, in a classification's sequence
comparison:      several runs side by side: table and picture
run_files:       the files that an evaluation writes to a run folder
evaluation_file: reading and validating evaluation.json
steps:           a sequence step by step, as plain data for the HTML report
papers_page:     docs/results.md and its picture: the papers' tables beside ours
html:            the HTML report of a run (report.html, report.css, report.js)
pictures:        writing CSV files and pictures
style:           colours, axes, number formats
"""
