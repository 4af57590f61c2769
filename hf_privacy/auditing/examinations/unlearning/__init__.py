"""An unlearned model: how it is made from a request, judged, and what the report says of it."""
