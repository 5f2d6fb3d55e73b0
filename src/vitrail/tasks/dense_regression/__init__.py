"""Dense regression: one or more numbers for each cell of an image's grid."""
