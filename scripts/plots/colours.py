"""The colours of lines, in all pictures."""

# Okabe and Ito: told apart with every kind of colour blindness. Markers and dashes say it again.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A7F00")
