"""What the documents print, taken out of them, and how the tests run it."""
