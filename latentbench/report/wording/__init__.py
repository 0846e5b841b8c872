"""How the page speaks: its languages, numbers and families of measures."""
