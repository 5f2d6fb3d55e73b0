"""Names and limits of requests, for the routes that check them and the OpenAPI document that states them."""

FIELD = "image"  # of a form

# Below /v2.
INPUT = "image"
VECTORS = "vectors"  # of a model that takes no images
OUTPUTS = ("probabilities", "logits", "values", "detections", "embedding")  # of models of any task
MAX_TEXT = 1000  # characters of a name or an id
MAX_SIDE = 4096  # pixels of an array: the graph's resize is slow and needs much memory for long, thin arrays
