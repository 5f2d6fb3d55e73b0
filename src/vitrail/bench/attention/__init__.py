"""`vitrail bench attention`: time and memory of every mechanism against the number of vectors."""
