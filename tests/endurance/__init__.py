"""What a program is put through to see whether it lasts: kills, many seeds, long work, hostile files.

kills:  trainings that are killed and resumed end as if they had not been
seeds:  many seeds at twice the learning rate stay finite
load:   long trainings and many evaluations take no more memory and files than short ones
fuzz:   files with any content are read, or refused in the way that is declared
"""
