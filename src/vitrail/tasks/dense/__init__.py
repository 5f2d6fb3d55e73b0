"""Dense classification: a label for each cell of an image's grid."""
