"""The measures: one file a question, plain tensor functions with their declarations beneath them."""
