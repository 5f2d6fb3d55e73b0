"""The model behind the routes: start-up, admission, decoding, batches."""
