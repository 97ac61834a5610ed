"""The colours and markers of every picture: Okabe and Ito's, which colour-blind eyes tell apart."""

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
PALETTE = [BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK, YELLOW]  # of lines and groups; yellow is faint on white
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]  # beside the colours, in the same order

INK, MUTED, QUIET, EMPTY = "#1F2A37", "#66707C", "#8A94A0", "#B8C0C9"  # text and outlines, darkest first
FAINT, PANEL, PAPER = "#DDE2E8", "#F3F5F7", "#FFFFFF"  # grid lines, backgrounds
SENSED, DECIDES, ENERGY, DECIDES_PALE = BLUE, VERMILION, GREEN, "#FBEDE2"  # of a device
ERROR_COLOURMAP, ERROR_COLOURMAP_RANGE = "magma_r", (0.06, 0.86)  # matplotlib's, of joint errors, and the part in use
