"""A label for each place of an image's grid."""
